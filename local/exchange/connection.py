"""One WebSocket connection of a client, whichever exchange it is to, and how bytes reach it.

Trades are written to the transport as ready-made frames (RFC 6455, section 5.2): at 20,000 a second a call of the
library for each of them would cost more than making them.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import WSCloseCode, web

_numbers = itertools.count(1)


def text_frame(text: str) -> bytes:
    """A text in a WebSocket frame, unmasked, as servers send it."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def binary_frame(payload: bytes) -> bytes:
    """At most 125 bytes in a binary frame."""
    return bytes((0x82, len(payload))) + payload


class Connection:
    """A client's connection; `number` names it in the control interface."""

    def __init__(self, exchange: str, request: web.Request, ws: web.WebSocketResponse, send_limit: int) -> None:
        assert request.transport is not None
        self.number = next(_numbers)
        self.exchange = exchange
        self.ws = ws
        self.opened_s = time.monotonic()
        self.subscriptions: dict[str, Any] = {}
        self.trades_sent = 0
        self.trades_skipped = 0
        self.data: list[bytes] = []
        self._transport = request.transport
        self._send_limit = send_limit
        self._late: deque[tuple[float, bytes]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def slow(self) -> bool:
        """Whether the client reads so slowly that what is unsent has passed the limit."""
        return self._transport.get_write_buffer_size() > self._send_limit

    def flush(self, delay_s: float = 0.0) -> None:
        """Sends what was put into `data`, now or later; never overtaking what waits already."""
        now_s = time.monotonic()
        if self.data:
            chunk = b"".join(self.data)
            self.data.clear()
            if delay_s or self._late:
                self._late.append((now_s + delay_s, chunk))
            else:
                self._write(chunk)
        while self._late and self._late[0][0] <= now_s:
            self._write(self._late.popleft()[1])

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a control message."""
        with suppress(ConnectionError):
            await self.ws.send_str(orjson.dumps(message).decode())

    def close(self, code: int | None = WSCloseCode.GOING_AWAY, reason: str = "") -> None:
        """Closes with a close frame; without one where code is None."""
        if code is None:
            self._transport.abort()
        else:
            self.start(self.ws.close(code=code, message=reason.encode()))

    def start(self, work: Any) -> None:
        """Runs a coroutine for as long as the connection lasts."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Calls an action after a delay, unless the connection has ended by then."""

        async def wait() -> None:
            await asyncio.sleep(delay_s)
            action()

        self.start(wait())

    def ended(self) -> None:
        """To be called when the client has gone."""
        for task in self._tasks:
            task.cancel()

    def as_json(self) -> dict[str, Any]:
        """What the control interface tells of it."""
        return {
            "connection": self.number,
            "exchange": self.exchange,
            "open_s": round(time.monotonic() - self.opened_s, 3),
            "subscriptions": len(self.subscriptions),
            "trades_sent": self.trades_sent,
            "trades_skipped": self.trades_skipped,
        }

    def _write(self, chunk: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(chunk)
