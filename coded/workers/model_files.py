"""A model's file in a private folder: goes with its owner, and is read only if still as written."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import tempfile
import weakref
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

_NAME = "model.pt"
_TRIES = 100  # a try fails only if a sweep locks the new folder microseconds after it was made
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_FAULTS = {
    errno.EACCES: "may not be read by this user",
    errno.EPERM: "may not be read by this user",
    errno.ELOOP: "is a symbolic link",
    errno.EISDIR: "is a folder",
    errno.ENXIO: "is a socket",
}


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies, and the SHA-256 of what was written there; small when pickled.

    Loading a model executes what its file says, and the temporary folder belongs to everybody.
    So the file lies in a folder that only its user can enter, and `read` gives nothing but what
    `write` wrote, whoever has put something else in its place since.
    """

    path: Path
    digest: bytes

    @classmethod
    def write(cls, save: Callable[[IO[bytes]], object], owner: object) -> ModelFile:
        """Write a file with `save`; it goes with `owner` or with this process.

        Nothing runs in a process that is killed by a signal. What such processes left is removed
        here, before anything is written.

        Raises
        ------
        OSError
            If the folder or the file cannot be made or written.
        Exception
            Whatever `save` raises; nothing stays behind.
        """
        _remove_abandoned()
        folder, lock = _make_folder()
        remove = weakref.finalize(owner, _remove_own, folder, lock, os.getpid())
        path = folder / _NAME
        try:
            with open(path, "x+b", opener=partial(os.open, mode=0o600)) as file:
                save(file)
                file.seek(0)
                digest = file_digest(file, "sha256").digest()
        except BaseException:
            remove()
            raise
        return cls(path, digest)

    def read(self) -> bytes:
        """Give what was written, read through one descriptor and compared with the digest.

        Raises
        ------
        FileNotFoundError
            If the file is gone or on another machine.
        PermissionError
            If it is not a regular file of this user, or has another content than was written.
        """
        try:
            with open(self.path, "rb", opener=_open_itself) as file:
                self._require_own(os.fstat(file.fileno()))
                content = file.read()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(
                f"the model's file {self.path} is gone or on another machine; keep the "
                "TorchWorker that wrote it, or pass it a function that builds the model"
            ) from error
        except OSError as error:
            if error.errno not in _FAULTS:
                raise
            raise self._refusal(_FAULTS[error.errno]) from error
        if sha256(content).digest() != self.digest:
            raise self._refusal("has another content than was written")
        return content

    def _require_own(self, status: os.stat_result) -> None:
        """Raise PermissionError unless this is a regular file of this user."""
        if not stat.S_ISREG(status.st_mode):
            raise self._refusal("is not a regular file")
        if sys.platform != "win32" and status.st_uid != os.geteuid():
            raise self._refusal(f"belongs to user {status.st_uid}, not to {os.geteuid()}")

    def _refusal(self, fault: str) -> PermissionError:
        return PermissionError(
            f"the model's file {self.path} {fault}, and only the file that the TorchWorker wrote "
            "is loaded; find out who replaced it, and make the TorchWorker anew"
        )


def _open_itself(path: str, flags: int) -> int:
    """Open a file but nothing that it links to, and do not wait for the writer of a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _prefix() -> str:
    """Give how the folders of this machine begin: locks of others may not be seen here (NFS)."""
    return f"coded-model-{zlib.crc32(os.fsencode(socket.gethostname())):08x}-"


def _make_folder() -> tuple[Path, int | None]:
    """Make a folder that only this user can enter; give it and its lock, None without locks."""
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(prefix=_prefix())).absolute()
        try:
            return folder, _lock(folder)
        except OSError as error:
            if error.errno in _NO_LOCKS:  # of this file system, so that no sweep gets it either
                return folder, None
            with suppress(OSError):
                folder.rmdir()
            if not isinstance(error, BlockingIOError | FileNotFoundError):
                raise
    raise OSError(f"others lock each new folder in {tempfile.gettempdir()}; set TMPDIR to another")


def _lock(folder: Path) -> int | None:
    """Lock a folder of this user, as the sign of its living owner; give the descriptor.

    The lock is on the folder itself: there is no instant at which it could be taken for the lock
    of something else, and systemd's cleaner of temporary files leaves locked folders alone. Forks
    of the owner inherit it, so that what a killed owner left may stay until they end too; programs
    that it starts do not. None on Windows, which has no such locks.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_own_folder(folder, os.fstat(descriptor))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _require_at(folder, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_own_folder(folder: Path, status: os.stat_result) -> None:
    """Raise PermissionError unless the folder belongs to this user."""
    if status.st_uid != os.geteuid():
        raise PermissionError(
            f"the folder {folder} belongs to user {status.st_uid}, and a model's must belong to "
            f"this one, {os.geteuid()}; set TMPDIR to a folder where what is made keeps its user"
        )


def _require_at(folder: Path, descriptor: int) -> None:
    """Raise FileNotFoundError unless the path still leads to the folder that was opened there."""
    if not os.path.samestat(os.fstat(descriptor), folder.lstat()):
        raise FileNotFoundError(f"the folder {folder} was removed before it was locked")


def _remove_abandoned() -> None:
    """Remove what owners of this user and machine left that were killed, and nothing else.

    What can be locked has no living owner. An owner that is just about to lock its new folder
    finds it locked or gone, and makes another.
    """
    if sys.platform == "win32":  # without locks nothing tells the dead from the living
        return
    prefix = _prefix()
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        folders = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
        for folder in folders:
            with suppress(OSError):  # alive, not ours, no folder, or another sweep was faster
                _remove(folder, _lock(folder))


def _remove_own(folder: Path, lock: int | None, owner: int) -> None:
    """Remove a folder, unless this is a fork of the process that made it."""
    if os.getpid() == owner:
        _remove(folder, lock)


def _remove(folder: Path, lock: int | None) -> None:
    """Remove a folder and the model in it, if they are those that were locked; then unlock."""
    with suppress(OSError):
        if lock is None:
            (folder / _NAME).unlink(missing_ok=True)
        else:
            _require_at(folder, lock)
            with suppress(FileNotFoundError):
                os.unlink(_NAME, dir_fd=lock)  # here, whatever comes to lie at the path meanwhile
        folder.rmdir()
    if lock is not None:
        with suppress(OSError):
            os.close(lock)
