"""A listening socket, and how to stop listening without resetting the connections that are being made."""

import contextlib
import ctypes
import socket
import struct
import sys

# Linux's socket filters (linux/filter.h): load the byte with the flags of TCP, test it for SYN, drop or keep.
_SO_ATTACH_FILTER = 26
_ONLY_OLD_CONNECTIONS = [
    (0x30, 0, 0, 13),  # ldb [13]
    (0x45, 0, 1, 0x02),  # jset #SYN, next, next but one
    (0x06, 0, 0, 0),  # ret #0
    (0x06, 0, 0, 0xFFFFFFFF),  # ret #-1
]


# What the kernel keeps of an answer that a client is slow to read, instead of up to 4 MB. A connection inherits it.
_SEND_BUFFER_BYTES = 131_072


class ServerError(Exception):
    """The server cannot start. The message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise ServerError if the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror or error}. Set HOST and PORT in conf/predict.conf."
        ) from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return listening


def begin_no_connections(listening: socket.socket) -> None:
    """Let no client begin another connection, while those that have begun go on.

    Closing the socket resets the connections that nobody has accepted yet. After this, none is added to them: the
    kernel leaves a client without an answer, which asks again after a second and is refused then. Where there is no
    such filter, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *instruction) for instruction in _ONLY_OLD_CONNECTIONS)
    )
    program = struct.pack("HP", len(_ONLY_OLD_CONNECTIONS), ctypes.addressof(code))
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
