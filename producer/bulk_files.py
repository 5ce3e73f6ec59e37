"""An exchange's past in files: a day of a symbol in one zip, with its SHA-256 beside it.

They cost no REST weight. They appear the day after, may be rewritten later to fill holes, and their checksums fail
at times: whoever reads them must be able to go back to REST.
"""

import csv
import hashlib
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from types import TracebackType

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from producer.exchanges.adapter import Adapter, Candle, adapter_of
from producer.trade import Trade

_ROWS = 10_000  # that are read at a time


class NoBulkFile(Exception):
    """The exchange has no file of that day: it publishes none, or not yet."""


class BulkFileBroken(Exception):
    """A file that can't be used: not downloaded whole, its checksum differs, or a row is not understood."""


class BulkFiles:
    """The files of one exchange.

    base_url: where they are; empty where there are none.
    """

    def __init__(self, exchange: str, base_url: str, *, timeout_s: float = 60.0) -> None:
        self._exchange = exchange
        self._adapter: Adapter = adapter_of(exchange)
        self._published = bool(base_url)
        self._client = httpx.Client(base_url=base_url, timeout=timeout_s, follow_redirects=True)

    def __enter__(self) -> "BulkFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def has_trades(self, symbol: str, day: date) -> bool:
        """Whether there is a file of that UTC day's trades. False also where the server does not answer."""
        return self._has(self._adapter.trades_file(symbol, day))

    def trades(self, symbol: str, day: date, first_id: int, last_id: int) -> Iterator[list[Trade]]:
        """The trades of a UTC day with ids in [first_id, last_id], some thousands at a time, ids ascending.

        Nothing is given before the whole file is here and its checksum is right. Raises NoBulkFile and
        BulkFileBroken, the latter also after some trades.
        """
        received_at_us = time.time_ns() // 1000
        for rows in self._rows(self._adapter.trades_file(symbol, day), symbol, day):
            try:
                found = [self._adapter.read_trades_row(symbol, row, received_at_us) for row in rows]
            except ValueError as error:
                raise BulkFileBroken(str(error)) from error
            if wanted := [trade for trade in found if first_id <= trade.trade_id <= last_id]:
                yield wanted

    def candles(self, symbol: str, day: date) -> list[Candle]:
        """The 1-minute candles of a UTC day, oldest first. Raises NoBulkFile and BulkFileBroken."""
        try:
            return [
                self._adapter.read_candles_row(symbol, row)
                for rows in self._rows(self._adapter.candles_file(symbol, day), symbol, day)
                for row in rows
            ]
        except ValueError as error:
            raise BulkFileBroken(str(error)) from error

    def _has(self, path: str | None) -> bool:
        if path is None or not self._published:
            return False
        try:
            return self._client.head(path).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _rows(self, path: str | None, symbol: str, day: date) -> Iterator[Sequence[list[str]]]:
        if path is None or not self._published:
            raise NoBulkFile(f"{self._exchange} {symbol} {day}: the exchange publishes no files")
        with self._fetched(path) as file:
            try:
                with zipfile.ZipFile(file) as archive:
                    (name,) = archive.namelist()
                    with archive.open(name) as content:
                        rows = csv.reader(TextIOWrapper(content, "utf-8", newline=""))
                        while some := list(islice(rows, _ROWS)):
                            yield some
            except (zipfile.BadZipFile, UnicodeDecodeError, csv.Error, ValueError) as error:
                raise BulkFileBroken(f"{self._where(path)}: not a zip of one CSV file: {error}") from error

    @contextmanager
    def _fetched(self, path: str) -> Iterator[Path]:
        """The downloaded file, its checksum verified; gone at the end."""
        with tempfile.TemporaryDirectory(prefix="bulk-") as folder:
            file = Path(folder) / path.rsplit("/", 1)[-1]
            try:
                Retrying(
                    retry=retry_if_exception_type((httpx.TransportError, BulkFileBroken)),
                    stop=stop_after_attempt(3),
                    wait=wait_exponential_jitter(max=10),
                    reraise=True,
                )(self._fetch, path, file)
            except httpx.TransportError as error:
                raise BulkFileBroken(f"{self._where(path)}: not downloaded: {error!r}") from error
            yield file

    def _fetch(self, path: str, file: Path) -> None:
        told = self._client.get(f"{path}.CHECKSUM")
        self._judge(told, path)
        expected = told.text.split()[:1]
        actual = hashlib.sha256()
        with self._client.stream("GET", path) as answer, file.open("wb") as out:
            self._judge(answer, path)
            for chunk in answer.iter_bytes(1 << 20):
                actual.update(chunk)
                out.write(chunk)
        if expected != [actual.hexdigest()]:
            raise BulkFileBroken(
                f"{self._where(path)}: its SHA-256 is {actual.hexdigest()}, and the exchange's .CHECKSUM says "
                f"{''.join(expected)[:80] or 'nothing'}"
            )

    def _judge(self, answer: httpx.Response, path: str) -> None:
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN):
            raise NoBulkFile(f"{self._where(path)}: not there (HTTP {answer.status_code})")
        if not answer.is_success:
            raise BulkFileBroken(f"{self._where(path)}: HTTP {answer.status_code}")

    def _where(self, path: str) -> str:
        return f"{self._exchange} {self._client.base_url}{path.removeprefix('/')}"
