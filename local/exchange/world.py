"""All markets of both exchanges, and the file that keeps their time axis.

What the file holds (seed, segments of every symbol, the recording's place on the axis) and the time of day
determine every trade: a restart goes on with the same past, and with trades for the time it was down.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from local.exchange.listing import Listing, expand, listing
from local.exchange.market import Segment, SymbolMarket, level_for
from local.exchange.recording import (
    MINUTE_US,
    Recording,
    ReplayClock,
    begins_at_us,
    moved,
    read_recording,
    shift_to,
)
from local.exchange.settings import ExchangeSettings
from local.exchange.synthetic import RawTrade

_FORMAT = 1


class StateMismatch(ValueError):
    """The state folder belongs to other settings; the message names the variable."""


def wall_clock_us() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class World:
    """The markets by key (`binance:BTC-USDT`), and what time it is in each.

    Times of the market are microseconds since 1970 UTC; `now_us` gives the wall clock's. clock_error_us: by how
    much an exchange's clock is ahead of it.
    """

    def __init__(
        self,
        markets: dict[str, SymbolMarket],
        replayed: str | None,
        clock: ReplayClock | None,
        shift_us: int,
        save: Callable[["World"], None],
        now_us: Callable[[], int],
        clock_error_us: Callable[[str], int],
    ) -> None:
        self.markets = markets
        self.replayed = replayed
        self.clock = clock
        self.shift_us = shift_us
        self.now_us = now_us
        self._clock_error_us = clock_error_us
        self._shown_us: dict[str, int] = {}
        self._save = save
        self._by_native = {(m.listing.exchange, m.listing.native): m for m in markets.values()}

    def time_of(self, market: SymbolMarket, now_us: int | None = None) -> int:
        """The time in a market, now or when the wall clock says `now_us`: what is dated before it has happened."""
        now_us = self.now_us() if now_us is None else now_us
        if self.clock is not None and market.listing.key == self.replayed:
            return self.clock.time_at(now_us)
        return self.exchange_time(market.listing.exchange, now_us)

    def exchange_time(self, exchange: str, now_us: int | None = None) -> int:
        """What an exchange's clock shows, now or when the wall clock says `now_us`. It never goes back."""
        shown_us = (self.now_us() if now_us is None else now_us) + self._clock_error_us(exchange)
        self._shown_us[exchange] = max(shown_us, self._shown_us.get(exchange, 0))
        return self._shown_us[exchange]

    def count_of(self, market: SymbolMarket) -> int:
        """How many trades of a symbol have happened."""
        return market.index_at(self.time_of(market))

    def find(self, exchange: str, native: str) -> SymbolMarket | None:
        """The market of a symbol in the exchange's spelling."""
        return self._by_native.get((exchange, native))

    def of(self, exchange: str) -> list[SymbolMarket]:
        """All markets of an exchange, as listed."""
        return [m for m in self.markets.values() if m.listing.exchange == exchange]

    def begin_replay(self) -> None:
        """Starts playing the recording, if it waits for that."""
        if self.clock is not None and self.clock.started_us is None:
            self.clock = replace(self.clock, started_us=self.now_us())
            self.save()

    def save(self) -> None:
        """Writes the state file; to be called after every change of a market."""
        self._save(self)


def open_world(
    settings: ExchangeSettings,
    now_us: Callable[[], int] = wall_clock_us,
    clock_error_us: Callable[[str], int] = lambda _: 0,
) -> World:
    """The world of a state folder, made new where there is none. clock_error_us: as of `World`.

    Raises StateMismatch, BadRecording, UnknownSymbolSpec.
    """
    path = settings.state_dir / "market.json"
    state = json.loads(path.read_text()) if path.exists() else _new_state(settings, now_us())
    _check(state, settings, path)
    recording = read_recording(settings.recording) if settings.recording else None
    replayed = settings.recording_symbol if recording else None
    if (recording is None) != (state["replay"] is None):
        made = "without" if recording else "with"
        raise StateMismatch(f"EXCHANGE_RECORDING: {path} was made {made} one; use another EXCHANGE_STATE_DIR")
    shift_us = state["replay"]["shift_us"] if recording else 0

    keys = [f"{exchange}:{symbol}" for exchange, symbol in expand(settings.symbols)]
    if replayed and replayed not in keys:
        keys.append(replayed)
    rate = settings.rate / max(len(keys), 1)
    markets: dict[str, SymbolMarket] = {}
    for key in keys:
        known = state["symbols"].get(key)
        trades = moved(recording, shift_us) if recording and key == replayed else []
        if known:
            market = _known_market(key, known, settings.seed, trades)
        elif recording and key == replayed:
            market = _replayed_market(key, settings, recording, trades, state["created_us"], rate)
        else:
            market = _new_market(key, settings, min(state["created_us"], now_us()), rate)
        markets[key] = market

    clock = None
    if recording:
        first, last = begins_at_us(recording) + shift_us, recording.trades[-1].traded_at_us + shift_us
        clock = ReplayClock(first, last, state["replay"]["speed"], state["replay"]["started_us"])
    world = World(markets, replayed, clock, shift_us, lambda w: _write(path, state, w), now_us, clock_error_us)
    if state["rate_per_symbol"] != rate:  # the setting changed: from now on, not in the past
        for market in markets.values():
            if market.segments[-1].rate is not None and market.segments[-1].start_us <= world.time_of(market):
                market.change_rate(world.time_of(market), rate)
        state["rate_per_symbol"] = rate
    world.save()
    return world


def _new_state(settings: ExchangeSettings, now_us: int) -> dict[str, Any]:
    replay = None
    if settings.recording:
        recording = read_recording(settings.recording)
        length_us = recording.trades[-1].traded_at_us - begins_at_us(recording)
        over = settings.replay == "past"
        shift_us = shift_to(recording, now_us if over else now_us + int(length_us / settings.speed))
        begun_us = now_us - length_us if over else now_us if settings.replay == "start" else None
        replay = {"shift_us": shift_us, "speed": settings.speed, "started_us": begun_us}
        if over:  # an axis that lies in the past is over at any speed
            replay |= {"speed": 1.0, "started_us": begins_at_us(recording) + shift_us}
    return {
        "format": _FORMAT,
        "seed": settings.seed,
        "created_us": now_us,
        "rate_per_symbol": settings.rate / max(len(expand(settings.symbols)), 1),
        "replay": replay,
        "symbols": {},
    }


def _check(state: dict[str, Any], settings: ExchangeSettings, path: Path) -> None:
    if state["format"] != _FORMAT:
        raise StateMismatch(f"{path}: written by another version; use another EXCHANGE_STATE_DIR")
    if state["seed"] != settings.seed:
        raise StateMismatch(
            f"EXCHANGE_SEED={settings.seed}, but {path} was made with {state['seed']}; "
            "use that seed or another EXCHANGE_STATE_DIR"
        )


def _new_market(key: str, settings: ExchangeSettings, created_us: int, rate: float) -> SymbolMarket:
    listed = _listed(key, settings.seed)
    start_us = created_us - settings.past_minutes * MINUTE_US
    level = level_for(listed, settings.seed, listed.price, start_us)
    return SymbolMarket(listed, settings.seed, [Segment(start_us, 0, rate, level)], [])


def _replayed_market(
    key: str,
    settings: ExchangeSettings,
    recording: Recording,
    trades: list[RawTrade],
    created_us: int,
    rate: float,
) -> SymbolMarket:
    """A synthetic past up to the recording's first minute, the recording, synthetic trades after its last."""
    listed = replace(
        _listed(key, settings.seed),
        price_decimals=recording.price_decimals,
        quantity_decimals=recording.quantity_decimals,
        zeros="kept",
        id_step=1,
    )
    unit = 10.0**recording.price_decimals
    first = next(t for t in trades if t.price)
    last = next(t for t in reversed(trades) if t.price)
    recorded_us = first.traded_at_us // MINUTE_US * MINUTE_US
    past_us = min(created_us - settings.past_minutes * MINUTE_US, recorded_us)
    past = Segment(past_us, 0, rate, level_for(listed, settings.seed, first.price / unit, recorded_us))
    earlier = SymbolMarket(listed, settings.seed, [past], []).index_at(recorded_us)
    live_us = last.traded_at_us + 1
    segments = [
        past,
        Segment(recorded_us, earlier, None, past.level),
        Segment(
            trades[-1].traded_at_us + 1,
            earlier + len(trades),
            rate,
            level_for(listed, settings.seed, last.price / unit, live_us),
        ),
    ]
    listed = replace(listed, price=first.price / unit, first_id=recording.first_id - earlier)
    return SymbolMarket(listed, settings.seed, segments, trades)


def _listed(key: str, seed: int) -> Listing:
    exchange, symbol = key.split(":")
    return listing(exchange, symbol, seed)


def _known_market(key: str, known: dict[str, Any], seed: int, trades: list[RawTrade]) -> SymbolMarket:
    segments = [Segment(*segment) for segment in known["segments"]]
    return SymbolMarket(Listing(**known["listing"]), seed, segments, trades)


def _write(path: Path, state: dict[str, Any], world: World) -> None:
    for key, market in world.markets.items():
        segments = [[s.start_us, s.start_index, s.rate, s.level] for s in market.segments]
        state["symbols"][key] = {"listing": asdict(market.listing), "segments": segments}
    if world.clock:
        state["replay"]["started_us"] = world.clock.started_us
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
