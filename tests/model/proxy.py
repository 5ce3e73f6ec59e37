"""A network between programs that a test can disturb: a TCP proxy on loopback."""

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

# Of the local ports of clients, those whose connections are meant.
Concerned = Callable[[Collection[int]], Collection[int]]


def everyone(ports: Collection[int]) -> Collection[int]:
    return ports


def _nobody(_: Collection[int]) -> Collection[int]:
    return ()


@dataclass(eq=False, slots=True)
class _Connection:
    """A client's, and ours to the server. passes: cleared while it is held. frozen: what comes is thrown away."""

    client: socket.socket
    server: socket.socket
    client_port: int
    passes: threading.Event = field(default_factory=threading.Event)
    frozen: bool = False
    chunk_takes_s: float = 0.0
    ends_after: bytes = b""

    def end(self) -> None:
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes the threads that pass on, which close it
        self.passes.set()


class Proxy:
    """Passes bytes on to a port, for the clients that are not disturbed.

    cut(): connections end, and new ones are refused. freeze(): connections stay open and nothing passes any more,
    as when a cable is pulled; new ones pass. hold(): nothing passes, on new connections neither, and all of it
    comes late. slow(): each chunk, of 64 kB at most, takes so long. end_after(): a connection ends when its client
    has said something, which arrives while the answer does not. mend(): all that is not frozen passes again, at
    full speed. Each is for everyone, or for the clients that are `concerned`.

    answers_lost: by end_after().
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.answers_lost = 0
        self.port = int(self._listener.getsockname()[1])
        self._connections: list[_Connection] = []
        self._refused: Concerned = _nobody
        self._held: Concerned = _nobody
        self._slow: Concerned = _nobody
        self._chunk_takes_s = 0.0
        self._ending: Concerned = _nobody
        self._ends_after = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, concerned: Concerned = everyone) -> None:
        self._refused = concerned
        for connection in self._chosen(concerned):
            connection.end()

    def freeze(self, concerned: Concerned = everyone) -> None:
        for connection in self._chosen(concerned):
            connection.frozen = True

    def hold(self, concerned: Concerned = everyone) -> None:
        self._held = concerned
        for connection in self._chosen(concerned):
            connection.passes.clear()

    def slow(self, chunk_takes_s: float, concerned: Concerned = everyone) -> None:
        self._chunk_takes_s, self._slow = chunk_takes_s, concerned
        for connection in self._chosen(concerned):
            connection.chunk_takes_s = chunk_takes_s

    def end_after(self, said: bytes, concerned: Concerned = everyone) -> None:
        self._ends_after, self._ending = said, concerned
        for connection in self._chosen(concerned):
            connection.ends_after = said

    def mend(self) -> None:
        self._refused = self._held = self._slow = self._ending = _nobody
        for connection in list(self._connections):
            connection.chunk_takes_s = 0.0
            connection.ends_after = b""
            connection.passes.set()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _chosen(self, concerned: Concerned) -> list[_Connection]:
        ports = set(concerned([one.client_port for one in self._connections]))
        return [one for one in self._connections if one.client_port in ports]

    def _accept(self) -> None:
        while True:
            try:
                client, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, address[1]), daemon=True).start()

    def _serve(self, client: socket.socket, client_port: int) -> None:
        """Begins a connection, or ends it at once, and then passes on what the client says."""
        if self._refused([client_port]):
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._to_port))
        except OSError:  # nobody listens there yet
            client.close()
            return
        connection = _Connection(client, server, client_port)
        if not self._held([client_port]):
            connection.passes.set()
        if self._slow([client_port]):
            connection.chunk_takes_s = self._chunk_takes_s
        if self._ending([client_port]):
            connection.ends_after = self._ends_after
        self._connections.append(connection)
        back = threading.Thread(target=self._pass_on, args=(connection, server, client), daemon=True)
        back.start()
        self._pass_on(connection, client, server)
        back.join()
        self._connections.remove(connection)
        client.close()
        server.close()

    def _pass_on(self, connection: _Connection, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # one end is gone
            while data := source.recv(1 << 16):
                connection.passes.wait()
                time.sleep(connection.chunk_takes_s)
                if connection.frozen:
                    continue
                last = source is connection.client and connection.ends_after and connection.ends_after in data
                connection.frozen = bool(last)  # before it can be answered
                target.sendall(data)
                if last:
                    self.answers_lost += 1
                    connection.end()
        if not connection.frozen:
            connection.passes.wait()
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(to_port: int) -> Iterator[Proxy]:
    one = Proxy(to_port)
    try:
        yield one
    finally:
        one.close()
