"""Recorded trades, and the clock that plays them.

The recording is moved by whole minutes, so that its minutes stay minutes and its bars stay those that the exchange
published. While it plays, the symbol's market is in the past: its clock starts at the first recorded trade and
runs at `speed` until it has caught up with the present. Trade times are therefore never ahead of the clock.
"""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

from local.exchange.synthetic import RawTrade

MINUTE_US = 60_000_000
_CATCH_UP_SPEED = 10.0  # at least this fast once the recording has ended


class BadRecording(ValueError):
    """A file that holds no recording; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Consecutive trades of one symbol, oldest first, at their original times.

    price_decimals, quantity_decimals: how many the file's numbers have.
    """

    first_id: int
    price_decimals: int
    quantity_decimals: int
    trades: list[RawTrade]


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """What time it is in the market of the replayed symbol.

    start_us: when the played axis begins. end_us: time of the last recorded trade, moved. started_us: when playing
    began, None while it waits for a first subscriber.
    """

    start_us: int
    end_us: int
    speed: float
    started_us: int | None

    def time_at(self, now_us: int) -> int:
        """The market's time; what is dated before it has happened."""
        if self.started_us is None:
            return self.start_us
        played_us = self.start_us + (now_us - self.started_us) * self.speed
        if played_us > self.end_us:
            over_us = (played_us - self.end_us) / self.speed
            played_us = self.end_us + over_us * max(self.speed, _CATCH_UP_SPEED)
        return min(int(played_us), now_us)

    def state_at(self, now_us: int) -> str:
        """`waiting`, `playing` or `over`."""
        if self.started_us is None:
            return "waiting"
        return "playing" if self.time_at(now_us) <= self.end_us else "over"


def read_recording(path: Path) -> Recording:
    """Reads a gzipped CSV with the columns trade_time_ms, trade_id, price, quantity, is_buyer_maker.

    Raises BadRecording where ids have a hole or times fall.
    """
    try:
        with gzip.open(path, "rt", newline="") as file:
            rows = list(csv.DictReader(file))
        ids = [int(row["trade_id"]) for row in rows]
        times = [int(row["trade_time_ms"]) * 1000 for row in rows]
        prices, price_decimals = _scaled([row["price"] for row in rows])
        quantities, quantity_decimals = _scaled([row["quantity"] for row in rows])
        buys = [row["is_buyer_maker"] == "0" for row in rows]
    except (OSError, KeyError, ValueError) as error:
        raise BadRecording(f"EXCHANGE_RECORDING {path}: {error!r}") from error
    if not ids or ids != list(range(ids[0], ids[0] + len(ids))):
        raise BadRecording(f"EXCHANGE_RECORDING {path}: trade ids are not consecutive")
    if times != sorted(times):
        raise BadRecording(f"EXCHANGE_RECORDING {path}: trade times fall")
    trades = [RawTrade(*row) for row in zip(times, prices, quantities, buys, strict=True)]
    return Recording(ids[0], price_decimals, quantity_decimals, trades)


def moved(recording: Recording, shift_us: int) -> list[RawTrade]:
    """The recorded trades on an axis moved by shift_us."""
    return [trade._replace(traded_at_us=trade.traded_at_us + shift_us) for trade in recording.trades]


def begins_at_us(recording: Recording) -> int:
    """When playing begins: a minute before the first recorded one, for the bar of a minute can only be proven by
    whoever saw the trade before it."""
    return (recording.trades[0].traded_at_us // MINUTE_US - 1) * MINUTE_US


def shift_to(recording: Recording, end_by_us: int) -> int:
    """By how much to move the recording, in whole minutes, so that it ends at or just before a time."""
    return (end_by_us - recording.trades[-1].traded_at_us) // MINUTE_US * MINUTE_US


def _scaled(numbers: list[str]) -> tuple[list[int], int]:
    trimmed = [n.rstrip("0").rstrip(".") if "." in n else n for n in numbers]
    decimals = max(len(n.partition(".")[2]) for n in trimmed)
    return [int(n.partition(".")[0] + n.partition(".")[2].ljust(decimals, "0")) for n in trimmed], decimals
