"""Ports of this machine for servers that are told their number."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def free_port() -> Iterator[int]:
    """A loopback port that nobody listens on, and that nobody else is given within the block.

    A socket keeps it without listening, also before a server starts and while it is restarted; a server that sets
    SO_REUSEADDR may listen there all the same.
    """
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]
