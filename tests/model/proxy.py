"""A network between two programs that a test can cut: a TCP proxy on loopback."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes bytes on to a port while it is `passing`.

    cut(): connections end, and new ones are refused. freeze(): connections stay open and nothing passes any more,
    as when a cable is pulled. slow(): each chunk, of 64 kB at most, takes so long. mend(): new connections pass
    again, at full speed.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = threading.Event()
        self._open.set()
        self._frozen: set[socket.socket] = set()
        self._chunk_takes_s = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._open.clear()
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # wakes the threads that pass on, which close it

    def freeze(self) -> None:
        self._frozen.update(end for pair in self._pairs for end in pair)

    def slow(self, chunk_takes_s: float) -> None:
        self._chunk_takes_s = chunk_takes_s

    def mend(self) -> None:
        self._chunk_takes_s = 0.0
        self._open.set()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._open.is_set():
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._to_port))
            except OSError:  # nobody listens there yet
                client.close()
                continue
            self._pairs.append((client, server))
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(self._chunk_takes_s)
                if source not in self._frozen:
                    target.sendall(data)
            if source not in self._frozen:
                target.shutdown(socket.SHUT_RDWR)
        source.close()


@contextmanager
def proxy(to_port: int) -> Iterator[Proxy]:
    one = Proxy(to_port)
    try:
        yield one
    finally:
        one.close()
