"""coded_map in a program of four MPI processes, three of them workers, under a real mpiexec."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.worker_functions import WAIT

pytestmark = pytest.mark.outer

PROGRAM = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
from mpi4py.futures import MPIPoolExecutor
from coded import KernelScheme, SplineScheme, coded_map
from tests.support.faults import *
from tests.support.worker_functions import answer_pid

if __name__ == "__main__":
    assert MPI.COMM_WORLD.size == 4, "mpiexec belongs to another MPI than mpi4py"
    with MPIPoolExecutor() as pool:
        {lines}
    print("end")
"""


def run(lines, tmp_path, n=4):
    """Run the lines as main program of n processes; everything ends with the launcher."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(lines=lines.strip().replace("\n", "\n        ")))
    mpiexec = Path(sys.executable).with_name("mpiexec")  # of the MPI that mpi4py loads
    return subprocess.run(
        [mpiexec, "-n", str(n), sys.executable, "-m", "mpi4py.futures", program, tmp_path],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=2 * WAIT,
        check=False,
    )


def test_workers_of_mpi_answer_and_their_failures_are_told_of(tmp_path):
    done = run(
        """
inputs = np.linspace(0.0, 3.0, 8)
result = coded_map(np.sin, inputs, SplineScheme(8, 24), pool, wait_for=24, timeout=WAIT)
assert result.complete
assert abs(result.outputs - np.sin(inputs)).max() < 0.05
for fault in FAULTS:
    check_lost(fault, pool)
check_wrong_shape(pool, Path(sys.argv[1]))
check_late(pool, Path(sys.argv[1]))
pids = coded_map(answer_pid, INPUTS, FOUR, pool, wait_for=4, timeout=WAIT).outputs
assert os.getpid() not in pids
print("answered")
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "answered\nend\n"


def test_outputs_are_those_of_f_with_a_frozen_worker_too(tmp_path):
    done = run(
        """
def check_all_sizes():
    for n in range(1, 17):
        inputs = np.linspace(0.0, 3.0, n)
        result = coded_map(np.sin, inputs, KernelScheme(n, 2 * n), pool, timeout=WAIT)
        assert result.exact.all(), result
        assert result.outputs.tolist() == [np.sin(x) for x in inputs], result

check_all_sizes()
pid = pool.submit(os.getpid).result(WAIT)
os.kill(pid, signal.SIGSTOP)
check_all_sizes()
os.kill(pid, signal.SIGCONT)
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "end\n"


def test_a_dead_process_takes_the_job_down(tmp_path):
    """No result and no error, but an end: MPI's launcher kills the other processes."""
    segments = set(Path("/dev/shm").glob("mpich_shm_*"))
    done = run("coded_map(KILLED, INPUTS, FOUR, pool, timeout=WAIT)", tmp_path)
    for segment in set(Path("/dev/shm").glob("mpich_shm_*")) - segments:
        segment.unlink()  # a killed job of MPICH leaves its shared memory behind
    assert done.returncode == 9
    assert "BAD TERMINATION" in done.stdout
    assert "end" not in done.stdout.splitlines()
