"""The socket that a server listens on."""

import socket


class ServerError(Exception):
    """The server cannot start. The message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise ServerError if the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror or error}. Set HOST and PORT in conf/predict.conf."
        ) from None
