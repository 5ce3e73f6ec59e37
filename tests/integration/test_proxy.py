"""The network that tests disturb: what each disturbance does to whom."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from model.proxy import Proxy, proxy


@pytest.fixture
def network() -> Iterator[Proxy]:
    """A proxy in front of a server that says everything back."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(client: socket.socket) -> None:
            with client, suppress(OSError):
                while data := client.recv(1 << 16):
                    client.sendall(data)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        with proxy(server.getsockname()[1]) as network:
            yield network
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def connect(network: Proxy) -> Iterator[Callable[[], socket.socket]]:
    """Makes a connection through the network."""
    with ExitStack() as clients:
        yield lambda: clients.enter_context(socket.create_connection(("127.0.0.1", network.port), timeout=10))


@pytest.fixture
def client(connect: Callable[[], socket.socket]) -> socket.socket:
    """A connection that has served already."""
    client = connect()
    assert echoed(client, b"hello")
    return client


def echoed(client: socket.socket, said: bytes, within_s: float = 10) -> bool:
    """Whether it comes back in time; False also where the connection has ended."""
    client.settimeout(within_s)
    with suppress(OSError):
        client.sendall(said)
        return client.recv(100) == said
    return False


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_mended(
    network: Proxy, client: socket.socket, connect: Callable[[], socket.socket]
) -> None:
    network.cut()
    assert client.recv(1) == b""
    assert not echoed(connect(), b"there?")
    network.mend()
    assert echoed(connect(), b"again")


def test_what_is_held_comes_late_and_whole(
    network: Proxy, client: socket.socket, connect: Callable[[], socket.socket]
) -> None:
    network.hold()
    client.settimeout(0.3)
    client.sendall(b"late")
    with pytest.raises(TimeoutError):
        client.recv(100)
    new = connect()
    assert not echoed(new, b"late too", within_s=0.3)
    network.mend()
    for held, said in ((client, b"late"), (new, b"late too")):
        held.settimeout(10)
        assert held.recv(100) == said


def test_what_is_frozen_never_comes_while_new_connections_pass(
    network: Proxy, client: socket.socket, connect: Callable[[], socket.socket]
) -> None:
    network.freeze()
    assert not echoed(client, b"lost", within_s=0.3)
    network.mend()
    assert not echoed(client, b"lost too", within_s=0.3)
    assert echoed(connect(), b"new")


def test_a_slow_network_takes_its_time_in_both_directions(network: Proxy, client: socket.socket) -> None:
    network.slow(0.2)
    began = time.monotonic()
    assert echoed(client, b"slowly")
    assert time.monotonic() - began >= 0.4
    network.mend()
    began = time.monotonic()
    assert echoed(client, b"quickly")
    assert time.monotonic() - began < 0.4


def test_a_connection_ends_when_something_was_said_which_arrives(
    network: Proxy, client: socket.socket, connect: Callable[[], socket.socket]
) -> None:
    network.end_after(b"COMMIT")
    assert echoed(client, b"BEGIN")
    client.sendall(b"now COMMIT this")
    assert client.recv(1) == b""
    assert network.answers_lost == 1
    assert not echoed(connect(), b"COMMIT")
    network.mend()
    assert echoed(connect(), b"COMMIT")


def test_only_those_who_are_concerned_are_disturbed(
    network: Proxy, client: socket.socket, connect: Callable[[], socket.socket]
) -> None:
    other = connect()
    assert echoed(other, b"hello")
    mine = client.getsockname()[1]
    network.cut(lambda ports: {mine} & set(ports))
    assert client.recv(1) == b""
    assert echoed(other, b"still here")
    assert echoed(connect(), b"new")


def test_the_end_of_either_side_reaches_the_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, proxy(server.getsockname()[1]) as network:
        for ending in (socket.SHUT_WR, None):
            client = socket.create_connection(("127.0.0.1", network.port), timeout=10)
            served, _ = server.accept()
            served.settimeout(10)
            if ending is None:  # as when a process is killed with something unread
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                client.close()
            else:
                client.shutdown(ending)
            assert served.recv(1) == b""
            served.close()
            client.close()
