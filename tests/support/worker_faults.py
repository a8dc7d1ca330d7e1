"""What goes wrong in worker processes; imported by them, so that it imports little."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

import numpy as np

import coded.workers.messages

ENDS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "frozen": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exits": lambda: os._exit(1),
}


def end_while_writing(how, size, coded_input):
    """Give many numbers; on input 0 the process ends while they leave."""
    if np.all(coded_input == 0.0):
        main = threading.get_ident()
        threading.Thread(target=end_in_send, args=(ENDS[how], main), daemon=True).start()
    return np.full(size, 2.0 * coded_input)


def end_in_send(end, main):
    """End the process as its answer leaves; one that left unseen is whole, and no later one."""
    where = None
    while where != "receive":  # for the next task
        code = sys._current_frames()[main].f_code
        where = code.co_name if code.co_filename == coded.workers.messages.__file__ else None
        if where == "send":
            end()


def fork_and(how, file, coded_input):
    """Leave a child that lives for long; on input 0 the worker ends too."""
    child = os.fork()
    if child == 0:
        time.sleep(600.0)
        os._exit(0)
    with file.open("a") as pids:
        pids.write(f"{child}\n")
    if np.all(coded_input == 0.0):
        ENDS[how]()
    return 2.0 * coded_input


def go_on_in_a_fork(coded_input):
    """Come back twice, first in a child with something else: it must not answer."""
    if os.fork() == 0:
        return -1.0 - coded_input
    time.sleep(0.05)
    return 2.0 * coded_input


def kill_itself_at_first(folder, times):
    """Die in the first processes that get here."""
    for i in range(times):
        with suppress(FileExistsError):
            (folder / str(i)).mkdir()
            os.kill(os.getpid(), signal.SIGKILL)


def fail_and_count(folder):
    (folder / str(os.getpid())).touch()
    raise ArithmeticError("the model is not there")


def lock_and_touch(lock, path):
    with lock:
        path.touch()


def freeze_on_zero(coded_input):
    if np.all(coded_input == 0.0):
        os.kill(os.getpid(), signal.SIGSTOP)
    return 2.0 * coded_input


def give_back(value):
    return value


def write_into(array):
    array[...] += 1.0
    return array


def give_tensor_and_die(coded_input):
    """Give a large tensor, and on input 0 die as it leaves."""
    if coded_input.flatten()[0] == 0.0:
        main = threading.get_ident()
        threading.Thread(target=end_in_send, args=(ENDS["exits"], main), daemon=True).start()
    import torch

    return torch.full((1 << 20,), 2.0 * coded_input.flatten()[0])
