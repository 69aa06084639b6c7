"""The end of listening: nobody is reset who has begun to connect."""

import socket
import sys

import pytest

from predict.http.listening import begin_no_connections, listen


def test_no_connection_begins_and_those_that_have_begun_are_still_taken() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux has the filter")
    listening = listen("127.0.0.1", 0)
    address = listening.getsockname()
    with socket.create_connection(address, timeout=1) as begun:
        begin_no_connections(listening)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        connection, _ = listening.accept()
        listening.close()
        with connection:
            begun.sendall(b"still here")
            assert connection.recv(100) == b"still here"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=1)


def test_a_connection_keeps_little_of_what_its_client_does_not_read() -> None:
    with (
        listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname(), timeout=1),
    ):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 262_144
