"""Messages through a socket, without processes."""

import socket
import threading

import numpy as np
import pytest

from coded.workers.messages import Kind, Receiver, pack


@pytest.mark.parametrize(
    "sizes", [[3, 5], [40_000, 3, 10_000], [50_000, 50_000, 1], [0, 300_000, 70_000, 0]], ids=str
)
def test_messages_that_follow_each_other_closely_are_told_apart(sizes):
    """From 32 kB on an array's bytes come beside the pickle; 64 kB are read at once."""
    arrays = [np.arange(size).astype(np.uint8) for size in sizes]
    messages = (pack(Kind.ANSWER, number, array) for number, array in enumerate(arrays))
    stream = b"".join(piece for pieces in messages for piece in pieces)
    ours, theirs = socket.socketpair()

    def send():
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)

    with ours, theirs:
        ours.settimeout(60)
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        sender.join(0.2)  # all that the socket takes is there before it is read
        receiver, received = Receiver(ours), []
        while len(received) < len(arrays):
            message = receiver.receive()
            if message is not None:
                received.append(message)
        sender.join(60)
    for number, (array, message) in enumerate(zip(arrays, received, strict=True)):
        assert (message.kind, message.number) == (Kind.ANSWER, number)
        np.testing.assert_array_equal(message.load(), array)
