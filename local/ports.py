"""Ports: whether the demo's are free, asked before anything starts, and free ones for tests and benchmarks."""

import random
import socket
from collections.abc import Callable, Mapping

HOST = "127.0.0.1"

_drawn: set[int] = set()  # by free_port


class PortsTaken(RuntimeError):
    """Ports that the demo needs are in use; the message names each with the variable that changes it."""


def check(ports: Mapping[str, int], purpose: Callable[[str], str]) -> None:
    """ports: by the variable that names each; purpose: what it is for. Raises PortsTaken."""
    problems = []
    named: dict[int, str] = {}
    for variable, port in ports.items():
        if port in named:
            problems.append(f"{variable} and {named[port]} both name port {port}: change one of them")
        elif not _is_free(port):
            problems.append(
                f"port {port} ({purpose(variable)}) is in use: end what listens there, "
                f"or set {variable} to another"
            )
        named.setdefault(port, variable)
    if problems:
        raise PortsTaken("\n".join(problems))


def free_port() -> int:
    """A port that was free a moment ago, another at each call of this process."""
    while True:
        # below those that the kernel gives to outgoing connections, which could take it before its server does
        port = random.randrange(15_000, 32_000)
        if port not in _drawn and _is_free(port):
            _drawn.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # what a server does that starts again: connections that ended just now are no obstacle
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
