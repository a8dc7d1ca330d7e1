"""Objects as messages through a stream socket: pickled, large arrays beside the pickle, uncopied.

A message is a head (kind, number of the task, sizes), a pickle, and the memory of the large arrays
that it refers to (pickle protocol 5, PEP 574): sent from where they lie, received where they stay.
"""

from __future__ import annotations

import io
import pickle
import socket
import struct
import sys
from enum import IntEnum
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

_HEAD = struct.Struct("<IIQQ")  # kind, number of buffers, number of the task, bytes of the pickle
_APART = 1 << 15  # bytes from which an array travels beside the pickle
_MOST_APART = 1000  # arrays of one message, so that their sizes fit into _ROOM
_ROOM = 1 << 16  # bytes that are received at once; more go where they stay
_JOINED = 1 << 16  # bytes up to which a pickle is sent together with its head


class Kind(IntEnum):
    """What a message says."""

    START = 0  # to the worker: the initializer and its arguments
    TASK = 1  # to the worker: function and arguments
    UP = 2  # to the owner: the initializer has run
    ANSWER = 3  # to the owner
    FAILURE = 4  # to the owner: an exception, and its traceback as text


class Message(NamedTuple):
    """A message as it came, still pickled."""

    kind: Kind
    number: int
    pickled: Any
    buffers: list[Any]

    def load(self) -> Any:
        """Unpickle what it holds; raises whatever that raises."""
        return pickle.loads(self.pickled, buffers=self.buffers)


class _Pickler(ForkingPickler):
    """Pickles as multiprocessing does, but tensors by value.

    Torch would put them into shared memory and serve its descriptors from a socket: that prints
    tracebacks where a worker dies meanwhile, and leaves folders behind.
    """

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not value.flags.writeable:
            return value.copy().__reduce_ex__(5)  # a task may write into its own copy
        torch = sys.modules.get("torch") if kind.__name__ in ("Tensor", "Parameter") else None
        if torch is not None and kind in (torch.Tensor, torch.nn.Parameter):
            return _reduce_tensor(value)
        return NotImplemented


def _reduce_tensor(tensor: Any) -> Any:
    """Give a tensor in the memory of this machine as its bytes; others as torch does."""
    torch = sys.modules["torch"]
    plain = (
        tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and not tensor.is_quantized
        and (tensor.is_leaf or not tensor.requires_grad)
        and not tensor.is_neg()
        and not tensor.is_conj()
    )
    if not plain:
        return NotImplemented
    numbers = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    is_parameter = type(tensor) is not torch.Tensor
    shape = tuple(tensor.shape)
    return _tensor, (numbers, tensor.dtype, shape, tensor.requires_grad, is_parameter)


def _tensor(numbers: Any, dtype: Any, shape: tuple[int, ...], *kind: bool) -> Any:
    """Make the tensor again, on the memory that was received."""
    torch = sys.modules["torch"]  # unpickling the dtype has imported it
    tensor = torch.from_numpy(numbers).view(dtype).reshape(shape)
    requires_grad, is_parameter = kind
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad)


def pack(kind: Kind, number: int = 0, value: object = None) -> list[memoryview]:
    """Give a message as pieces to be sent in turn; large arrays are not copied.

    Raises
    ------
    Exception
        Whatever pickling the value raises.
    """
    buffers: list[memoryview] = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _APART or len(buffers) == _MOST_APART:
            return True
        buffers.append(raw)
        return False

    pickled: bytes | memoryview = b""
    if value is not None:
        file = io.BytesIO()
        _Pickler(file, 5, True, stays_inside).dump(value)  # noqa: FBT003 (ForkingPickler takes no keywords)
        pickled = file.getbuffer()
    sizes = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    head = _HEAD.pack(kind, len(buffers), number, len(pickled)) + sizes
    if len(pickled) <= _JOINED:
        return [memoryview(head + pickled), *buffers]
    return [memoryview(head), memoryview(pickled), *buffers]


def send(connection: socket.socket, pieces: list[memoryview]) -> None:
    """Send the pieces, taking off what is sent; a socket that does not block may leave some.

    Raises
    ------
    OSError
        If nobody holds the other end.
    """
    while pieces:
        try:
            sent = connection.send(pieces[0])
        except BlockingIOError:
            return
        if sent == len(pieces[0]):
            pieces.pop(0)
        else:
            pieces[0] = pieces[0][sent:]


class Receiver:
    """Takes messages from a socket; used by one thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._room = memoryview(bytearray(_ROOM))
        self._filled = 0
        self._message: Message | None = None  # whose parts are being filled
        self._missing: list[memoryview] = []

    def receive(self) -> Message | None:
        """Take bytes; give a message once one is whole, else None.

        Raises
        ------
        BlockingIOError
            If nothing has come, and the socket does not block.
        EOFError
            If nobody holds the other end.
        OSError
            If the connection is broken.
        """
        message = self._first_in_room()
        if message is not None:
            return message
        target = self._missing[0] if self._missing else self._room[self._filled :]
        count = self._connection.recv_into(target)
        if count == 0:
            raise EOFError("the other end of the connection is closed")
        if not self._missing:
            self._filled += count
            return self._first_in_room()
        return self._fill(count)

    def _fill(self, count: int) -> Message | None:
        """Note bytes that came where they stay."""
        if count < len(self._missing[0]):
            self._missing[0] = self._missing[0][count:]
            return None
        self._missing.pop(0)
        return None if self._missing else self._give()

    def _give(self) -> Message | None:
        message, self._message = self._message, None
        return message

    def _first_in_room(self) -> Message | None:
        """Take the first message off the room, or begin it where it is larger."""
        if self._missing or self._filled < _HEAD.size:
            return None
        kind, n_buffers, number, size = _HEAD.unpack_from(self._room)
        start = _HEAD.size + 8 * n_buffers
        if self._filled < start:
            return None
        sizes = struct.unpack_from(f"<{n_buffers}Q", self._room, _HEAD.size)
        end = start + size + sum(sizes)
        if not n_buffers and end <= _ROOM:
            if self._filled < end:
                return None
            pickled = bytes(self._room[start:end])
            self._drop(end)
            return Message(Kind(kind), number, pickled, [])
        parts = [bytearray(length) for length in (size, *sizes)]
        self._message = Message(Kind(kind), number, parts[0], list(parts[1:]))
        self._missing = [memoryview(part) for part in parts if part]
        there = min(self._filled, end) - start
        came = self._room[start : start + there]
        while came and self._missing:
            count = min(len(came), len(self._missing[0]))
            self._missing[0][:count] = came[:count]
            came = came[count:]
            self._fill(count) if count < len(self._missing[0]) else self._missing.pop(0)
        self._drop(start + there)
        return None if self._missing else self._give()

    def _drop(self, count: int) -> None:
        """Take the first bytes off the room."""
        left = self._filled - count
        if left:
            self._room[:left] = bytes(self._room[count : self._filled])
        self._filled = left
