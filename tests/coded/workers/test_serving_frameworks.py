"""coded/README.md's services for BentoML and Ray Serve, run as printed: workers die under load.

LitServe, at length, is in `test_serving`.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from coded import TorchWorker
from coded.digits.images import read_digits
from coded.digits.lenet5 import load
from tests.support.printed import printed
from tests.support.worker_functions import is_running

pytestmark = pytest.mark.outer

CLIENTS, EACH, PAUSE = 8, 40, 0.05  # requests of each client, and the seconds between them
START, END = 90.0, 30.0  # longest waits


def ask_bentoml(url, image):
    (digit,) = post(f"{url}/predict", {"images": [image.tolist()]})
    return digit


def ask_ray_serve(url, image):
    return post(url, {"image": image.tolist()})


def post(url, content):
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10.0) as response:
        return json.load(response)


def bentoml_command(port):
    return ["bentoml", "serve", "service:Digits", "--host", "127.0.0.1", "--port", str(port)]


def ray_serve_command(port):
    config = {
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": [{"name": "digits", "import_path": "service:app"}],
    }
    Path("config.yaml").write_text(json.dumps(config))
    return ["serve", "run", "config.yaml"]


FRAMEWORKS = {
    "bentoml": (bentoml_command, ask_bentoml),
    "ray serve": (ray_serve_command, ask_ray_serve),
}


@contextmanager
def served(command, service, folder):
    """A server and its port; at the end Ctrl-C, and all its processes must be gone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "digits.py").write_text("\n".join(printed("digits")))
    (folder / "service.py").write_text("\n".join(service))
    short = tempfile.mkdtemp(prefix="s")  # Ray keeps sockets there
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd()), *filter(None, sys.path)]),
        "HOME": str(folder),
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": short,
        "TMPDIR": short,
    }
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        process = subprocess.Popen(
            command(port), env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}"
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            _, left = psutil.wait_procs([process, *family], END)
            sys.stdout.write((folder / "log").read_text(errors="replace"))  # where a test fails
            for one in left:
                one.kill()
            shutil.rmtree(short, ignore_errors=True)
            assert left == []


def workers_of(server):
    """The processes of LocalWorkers: spawned by one that was not."""
    return {one.pid for one in server.children(recursive=True) if "spawn_main" in str(command(one))}


def command(process):
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def wait_until_up(server, ask, url, image):
    deadline = time.monotonic() + START
    while True:
        try:
            return ask(url, image)
        except OSError:
            assert server.is_running()
            assert time.monotonic() < deadline
            time.sleep(0.2)


def wait_until_replaced(victims, server, ask_once):
    """Ask on: a lost process is replaced when its worker is asked again."""
    deadline = time.monotonic() + START
    while victims & workers_of(server) or len(workers_of(server)) != 6:
        assert time.monotonic() < deadline
        ask_once()
        time.sleep(0.1)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_request_gets_its_digit_though_workers_die_and_freeze(name, tmp_path):
    command, ask = FRAMEWORKS[name]
    images = read_digits(0).batch(0, CLIENTS * EACH).inputs
    expected = TorchWorker(load, batched=True)(images).argmax(axis=1)
    answers = np.full(len(images), -1)
    failures = []

    def send(first, url):
        for i in range(first, len(images), CLIENTS):
            try:
                answers[i] = ask(url, images[i])
            except (OSError, ValueError) as error:
                failures.append(f"{i}: {error!r}")
            time.sleep(PAUSE)

    with served(command, printed(name), tmp_path) as (server, url):
        wait_until_up(server, ask, url, images[0])
        before = workers_of(server)
        assert len(before) == 6
        clients = [threading.Thread(target=send, args=(i, url)) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        killed, frozen, *_ = sorted(before)
        time.sleep(0.5)
        os.kill(killed, signal.SIGKILL)
        os.kill(frozen, signal.SIGSTOP)
        for client in clients:
            client.join()
        wait_until_replaced({killed, frozen}, server, lambda: ask(url, images[0]))
        after = workers_of(server)
        os.kill(min(after), signal.SIGSTOP)  # the server must end with a frozen worker too
    assert failures == []
    assert np.array_equal(answers, expected)
    assert len(after) == 6
    assert not any(is_running(pid) for pid in before | after)
