"""Binance's bulk files: trades and 1-minute klines of a day or a month in a zip, with its checksum.

https://github.com/binance/binance-public-data. A file appears when its period is over. Once made it stays what it
was, since the past of the market does; it is kept in the state folder.
"""

import asyncio
import hashlib
import re
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aiohttp import web

from local.exchange.backend import Backend
from local.exchange.binance_frames import kline_row, trade_rows
from local.exchange.market import SymbolMarket

_MICROSECONDS_FROM = date(2025, 1, 1)  # before it, times in the files are milliseconds
_ROWS_AT_A_TIME = 500
_NAME = re.compile(
    r"(?P<symbol>.+)-(?P<what>trades|1m)-(?P<period>\d{4}-\d{2}(?:-\d{2})?)\.zip(?P<sum>\.CHECKSUM)?"
)


class BinanceBulk:
    """The handlers; `routes` says which paths they serve."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._folder = backend.settings.state_dir / "bulk"
        self._making = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """The paths of data.binance.vision."""
        base = "/data/spot/{span:daily|monthly}"
        return [
            web.get(base + "/{kind:trades}/{symbol}/{name}", self._file),
            web.get(base + "/{kind:klines}/{symbol}/1m/{name}", self._file),
        ]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        asked = _NAME.fullmatch(request.match_info["name"])
        what = "1m" if request.match_info["kind"] == "klines" else "trades"
        if asked is None or (asked["symbol"], asked["what"]) != (request.match_info["symbol"], what):
            raise web.HTTPNotFound
        fault = await self._backend.rest_fault(request, "binance")
        if fault:
            return web.Response(status=fault.status)
        market = self._backend.world.find("binance", asked["symbol"])
        period = _period(asked["period"], request.match_info["span"])
        if market is None or period is None:
            raise web.HTTPNotFound
        path = await self._made(market, what, asked["period"], *period)
        if path is None:
            raise web.HTTPNotFound
        if asked["sum"]:
            return web.FileResponse(_checksum(path), headers={"Content-Type": "text/plain"})
        return web.FileResponse(path, headers={"Content-Type": "application/zip"})

    async def _made(self, market: SymbolMarket, what: str, name: str, first: date, end: date) -> Path | None:
        """The file of the days from first up to, not including, end; None where there is none (yet)."""
        from_us, until_us = _start_us(first), _start_us(end)
        _, time_us = self._backend.visible(market)
        if until_us > time_us or market.segments[0].start_us >= until_us:
            return None
        path = self._folder / f"{market.listing.native}-{what}-{name}.zip"
        async with self._making:
            if not path.exists():
                self._folder.mkdir(exist_ok=True)
                fresh = path.with_suffix(".new")
                lines = self._trades(market, from_us, until_us, _divisor(first))
                if what == "1m":
                    lines = self._klines(market, from_us, until_us, _divisor(first))
                with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                    entry = zipfile.ZipInfo(path.with_suffix(".csv").name, end.timetuple()[:6])
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    with archive.open(entry, "w", force_zip64=True) as content:
                        async for some in lines:
                            content.write(some.encode())
                digest = hashlib.sha256(fresh.read_bytes()).hexdigest()
                _checksum(path).write_text(f"{digest}  {path.name}\n")
                fresh.replace(path)
        return path

    async def _trades(self, market: SymbolMarket, from_us: int, until_us: int, divisor: int) -> AsyncIterator[str]:
        end = market.index_at(until_us)
        for first in range(market.index_at(from_us), end, _ROWS_AT_A_TIME):
            trades = list(market.trades(first, min(first + _ROWS_AT_A_TIME, end)))
            rows = (row.values() for row in trade_rows(market.listing, trades, divisor))
            yield "".join(",".join(map(str, row)) + "\n" for row in rows)
            await asyncio.sleep(0)  # the feed must not wait for a file

    async def _klines(self, market: SymbolMarket, from_us: int, until_us: int, divisor: int) -> AsyncIterator[str]:
        async for candle in self._backend.candles.between(market, from_us, until_us - 1, until_us):
            yield ",".join(map(str, kline_row(market.listing, candle, divisor))) + "\n"


def _checksum(path: Path) -> Path:
    return path.with_name(f"{path.name}.CHECKSUM")


def _period(text: str, span: str) -> tuple[date, date] | None:
    """Its first day and the day after its last; None where the text does not name such a span."""
    try:
        if span == "daily":
            day = date.fromisoformat(text)
            return day, day + timedelta(days=1)
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        return None
    return first, (first + timedelta(days=31)).replace(day=1)


def _start_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def _divisor(first: date) -> int:
    return 1 if first >= _MICROSECONDS_FROM else 1000
