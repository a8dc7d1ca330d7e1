"""coded/README.md's services, as printed: started, asked, and ended by a signal."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil

from tests.support.ports import free_port
from tests.support.printed import printed

START, END, GIVE_UP = 180.0, 60.0, 10.0  # longest waits: for a server, for its end, for a reply
N_WORKERS = 6


def ask_litserve(url, images):
    """One request an image, all at once; LitServe makes batches of them."""
    return _ask_each(f"{url}/predict", images)


def ask_bentoml(url, images):
    return _post(f"{url}/predict", {"images": [image.tolist() for image in images]})


def ask_ray_serve(url, images):
    """As LitServe."""
    return _ask_each(url, images)


def _ask_each(url, images):
    ask = partial(_post, url)
    with ThreadPoolExecutor(len(images)) as pool:
        return list(pool.map(ask, [{"image": image.tolist()} for image in images]))


def _post(url, content):
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=GIVE_UP) as response:
        return json.load(response)


def _run_litserve(port):
    """The printed program listens at port 8000: that is the one thing that is changed in it."""
    program = Path("service.py")
    text = program.read_text().replace(".run()", f".run(port={port}, generate_client_file=False)")
    program.write_text(text)
    return [sys.executable, "service.py"]


def _run_bentoml(port):
    return ["bentoml", "serve", "service:Digits", "--host", "127.0.0.1", "--port", str(port)]


def _run_ray_serve(port):
    config = {
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": [{"name": "digits", "import_path": "service:app"}],
    }
    Path("config.yaml").write_text(json.dumps(config))
    return ["serve", "run", "config.yaml"]


FRAMEWORKS = {
    "litserve": (_run_litserve, ask_litserve),
    "bentoml": (_run_bentoml, ask_bentoml),
    "ray serve": (_run_ray_serve, ask_ray_serve),
}


class Server:
    """A printed service that runs, in a fresh home folder."""

    def __init__(self, process, url, ask):
        self.process, self._url, self._ask = process, url, ask

    def ask(self, images):
        """Give the reply to each image: its digit, and whether that is exact."""
        return self._ask(self._url, images)

    def workers(self):
        """The processes of LocalWorkers, each of which leads a group of its own."""
        found = set()
        for one in self.process.children(recursive=True):
            with suppress(psutil.Error, ProcessLookupError):
                if "spawn_main" in str(one.cmdline()) and os.getpgid(one.pid) == one.pid:
                    found.add(one.pid)
        return found

    def wait_until_up(self, image):
        deadline = time.monotonic() + START
        while True:
            try:
                return self.ask([image])
            except OSError:
                assert self.process.is_running()
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def wait_until_replaced(self, victims, image):
        """Ask on: a frozen process is replaced when its worker is asked again."""
        deadline = time.monotonic() + START
        while victims & (now := self.workers()) or len(now) != N_WORKERS:
            assert time.monotonic() < deadline
            with suppress(OSError):
                self.ask([image])
            time.sleep(0.1)


@contextmanager
def served(name, folder, end=signal.SIGINT):
    """A server by that framework; at the end a signal to it alone, and all must be gone."""
    command, ask = FRAMEWORKS[name]
    (folder / "digits.py").write_text("\n".join(printed("digits")))
    (folder / "service.py").write_text("\n".join(printed(name)))
    short = tempfile.mkdtemp(prefix="s")  # Ray keeps sockets there
    before = Path.cwd()
    os.chdir(folder)
    try:
        port = free_port()
        with (folder / "log").open("wb") as log:
            process = psutil.Popen(
                command(port),
                env=_environment(folder, before, short),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield Server(process, f"http://127.0.0.1:{port}", ask)
        except BaseException:
            sys.stdout.write((folder / "log").read_text(errors="replace"))
            raise
        finally:
            left = _end(process, end)
        assert left == [], (folder / "log").read_text(errors="replace")
    finally:
        os.chdir(before)
        shutil.rmtree(short, ignore_errors=True)


def _environment(folder, root, short):
    settings = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(folder), str(root), *filter(None, sys.path)]),
        "HOME": str(folder),
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": short,
        "TMPDIR": short,
    }
    kept = {name: os.environ[name] for name in os.environ if name != "RAY_AUTH_MODE"}
    return kept | settings


def _end(process, end):
    """Send the signal to it alone and wait; give the commands of those left, and kill them."""
    family = [process]
    with suppress(psutil.NoSuchProcess):
        family += process.children(recursive=True)
        process.send_signal(end)
    _, alive = psutil.wait_procs(family, END)
    left = []
    for one in alive:
        with suppress(psutil.Error):
            left.append(str(one.cmdline()))
            one.kill()
    return left
