"""Fifteen ways in which real collectors failed, each against the simulated exchange.

Each docstring ends with the public thread that tells of it. What is delivered here, over WebSocket and healed over
REST, is compared with what the simulator says is true.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

import pytest

from local.exchange.faults import (
    Disconnect,
    Disorder,
    Duplicates,
    Fault,
    Halt,
    Loss,
    Malformed,
    NoPong,
    Refuse,
    RestError,
    RestLag,
    ServerShutdown,
    Stall,
    TokenExpired,
)
from local.exchange.launch import Simulator, simulator
from producer.exchanges import kucoin
from producer.exchanges.adapter import Rate, adapter_of
from producer.feed import Feed
from producer.healer import Healer
from producer.history import History
from producer.metrics import Metrics
from producer.pace import Pace
from producer.reader import Timing
from producer.silence import Silence
from producer.trade import Trade

FAST = Timing(stale_after_s=1.5, backoff_first_s=0.3, backoff_max_s=1, overlap_s=0.5, overlap_max_s=5)
BTC, ETH = "BTC-USDT", "ETH-USDT"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(
        tmp_path_factory.mktemp("exchange"),
        symbols="binance:BTC-USDT,binance:ETH-USDT,binance:SOL-USDT,kucoin:BTC-USDT,kucoin:ETH-USDT",
        rate=150,
        past_minutes=2,
        kucoin_connects_per_min=1000,
    ) as running:
        yield running


class Rig:
    """Feeds and healer of one exchange, delivering into a list."""

    def __init__(self, market: Simulator, exchange: str, groups: Sequence[Sequence[str]], timing: Timing) -> None:
        self.market, self.exchange = market, exchange
        self.metrics = Metrics()
        self.trades: list[Trade] = []
        self.open = threading.Event()
        self.open.set()
        adapter = adapter_of(exchange)
        self.history = History(exchange, market.url, weight_share=0.4)
        self.healer = Healer(
            exchange, self.history, self._take, self.metrics, page=adapter.TRADES_PER_PAGE, retry_s=0.5
        )
        connects = Pace(Rate(1000, 60))
        self.feeds = [
            Feed(
                exchange, adapter, group,
                base_url=market.ws_url if exchange == "binance" else None,
                ticket=self.history.ticket, deliver=self._deliver, interrupted=self.healer.interrupted,
                connects=connects, metrics=self.metrics, timing=timing, name=str(number),
            )
            for number, group in enumerate(groups)
        ]  # fmt: skip
        self.healer.start()
        for feed in self.feeds:
            feed.start()

    def _deliver(self, trades: list[Trade]) -> None:
        self.open.wait()
        self.healer.watch(trades)
        self._take(trades)

    def _take(self, trades: Sequence[Trade]) -> None:
        self.trades += trades

    def close(self) -> None:
        self.open.set()
        self.healer.stop()
        for feed in self.feeds:
            feed.stop()
        for feed in self.feeds:
            feed.join(5)
        self.history.close()

    def ids(self, symbol: str, source: str = "") -> list[int]:
        return [t.trade_id for t in list(self.trades) if t.symbol == symbol and source in ("", t.source)]

    def newest(self, symbol: str) -> int:
        return self.healer.tops().get(symbol, -1)

    def goes_on(self, *symbols: str, within_s: float = 15) -> None:
        """Waits until each symbol has had new trades."""
        before = {symbol: self.newest(symbol) for symbol in symbols}
        until(lambda: all(self.newest(symbol) > before[symbol] for symbol in symbols), within_s)

    def is_complete(self, symbol: str) -> bool:
        """Whether every true trade between the first and the newest one was delivered, and no other."""
        delivered = set(self.ids(symbol))
        true = {trade.trade_id for trade in self.market.control.true_trades(self.exchange, symbol)}
        return {i for i in true if min(delivered) <= i <= max(delivered)} == delivered

    def count(self, name: str, **labels: str) -> float:
        labels = {"exchange": self.exchange, **labels}
        return self.metrics.registry.get_sample_value(f"producer_{name}", labels) or 0.0

    def reconnects(self) -> float:
        causes = ("lost", "stale", "refused", "ticket", "connect")
        return sum(self.count("reconnects_total", cause=cause) for cause in causes)


Start = Callable[..., Rig]


@pytest.fixture
def start(market: Simulator) -> Iterator[Start]:
    rigs: list[Rig] = []

    def begin(exchange: str, *groups: Sequence[str], timing: Timing = FAST) -> Rig:
        rig = Rig(market, exchange, groups, timing)
        rigs.append(rig)
        rig.goes_on(*(symbol for group in groups for symbol in group))
        return rig

    yield begin
    for rig in rigs:
        rig.close()
    market.control.end_faults()


def until(condition: Callable[[], object], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def inject(market: Simulator, *faults: Fault) -> None:
    for fault in faults:
        market.control.inject(fault)


def test_01_no_replay_after_a_reconnect(market: Simulator, start: Start) -> None:
    """What happened between two connections is fetched over REST (ccxt #26945)."""
    rig = start("binance", [BTC, ETH])
    inject(market, Refuse(exchange="binance", duration_s=2), Disconnect(exchange="binance"))
    rig.goes_on(BTC, ETH)
    until(lambda: not rig.healer.holes(), 10)
    assert rig.ids(BTC, "rest")
    assert rig.is_complete(BTC)
    assert rig.is_complete(ETH)


def test_01_no_replay_after_a_reconnect_where_ids_step(market: Simulator, start: Start) -> None:
    """The same on KuCoin, from its last 100 trades; the ids between are attested, not only the trades."""
    rig = start("kucoin", [BTC, ETH])
    inject(market, Refuse(exchange="kucoin", duration_s=1), Disconnect(exchange="kucoin"))
    rig.goes_on(BTC, ETH)
    until(lambda: not rig.healer.holes(), 10)
    assert rig.is_complete(BTC)
    assert rig.is_complete(ETH)
    assert rig.count("holes_left_total") == 0


def test_02_mass_disconnect_with_one_retry_only(market: Simulator, start: Start) -> None:
    """All are lost, and refused for a while: each is tried until it works (node-binance-api #86)."""
    rig = start("binance", [BTC], [ETH], ["SOL-USDT"])
    inject(market, Refuse(exchange="binance", duration_s=3), Disconnect(exchange="binance"))
    until(lambda: rig.count("reconnects_total", cause="connect") > 3, 10)
    rig.goes_on(BTC, ETH, "SOL-USDT")
    until(lambda: not rig.healer.holes(), 10)
    assert all(rig.is_complete(symbol) for symbol in (BTC, ETH, "SOL-USDT"))


def test_03_silent_after_24_hours(start: Start) -> None:
    """A connection is renewed before its age ends it, and nothing is missed meanwhile (python-binance #1090)."""
    rig = start("binance", [BTC, ETH], timing=Timing(life_s=2, overlap_s=0.3))
    until(lambda: rig.count("reconnects_total", cause="renewed") >= 3, 15)
    rig.goes_on(BTC, ETH)
    assert rig.is_complete(BTC)
    assert rig.is_complete(ETH)
    assert (rig.count("holes_total"), rig.reconnects()) == (0, 0)


def test_03_silent_after_an_announced_shutdown(market: Simulator, start: Start) -> None:
    """At serverShutdown the next connection delivers before the server closes the old one."""
    rig = start("binance", [BTC, ETH])
    inject(market, ServerShutdown(close_after_s=3))
    until(lambda: rig.count("reconnects_total", cause="renewed") == 1, 10)
    until(lambda: rig.count("connections") == 2, 10)
    until(lambda: rig.count("connections") == 1, 10)
    rig.goes_on(BTC, ETH)
    assert rig.is_complete(BTC)
    assert (rig.count("holes_total"), rig.reconnects()) == (0, 0)


def test_04_one_connection_stops_and_the_others_go_on(market: Simulator, start: Start) -> None:
    """Each connection is watched by itself (binance-connector-java #139)."""
    rig = start("binance", [BTC], [ETH])
    inject(market, Stall(exchange="binance", symbols=[BTC], duration_s=2))
    rig.goes_on(ETH, within_s=1)
    until(lambda: rig.count("reconnects_total", cause="stale") == 1, 10)
    rig.goes_on(BTC)
    until(lambda: not rig.healer.holes(), 10)
    assert rig.is_complete(BTC)
    assert rig.is_complete(ETH)
    assert rig.reconnects() == 1


def often(subscribe: Callable[[kucoin.KucoinSession], list[str]]) -> Callable[[kucoin.KucoinSession], list[str]]:
    """Lets a session ping many times before its connection counts as stale."""

    def subscribe_and_ping_often(session: kucoin.KucoinSession) -> list[str]:
        session.ping_interval_s = 0.3
        return subscribe(session)

    return subscribe_and_ping_often


def test_05_pings_answered_but_no_data(market: Simulator, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only data proves that a connection lives (websocket-client #674)."""
    monkeypatch.setattr(kucoin.KucoinSession, "subscribe", often(kucoin.KucoinSession.subscribe))
    rig = start("kucoin", [BTC, ETH])
    inject(market, Stall(exchange="kucoin", duration_s=2))
    until(lambda: rig.count("reconnects_total", cause="stale") >= 1, 10)
    rig.goes_on(BTC, ETH)
    until(lambda: not rig.healer.holes(), 10)
    assert rig.is_complete(BTC)


def test_06_a_pong_time_out_ends_the_stream(market: Simulator, start: Start) -> None:
    """Missing pongs end nothing while data flows; a close with 1011 is an end like any (python-binance #948)."""
    silent = start("kucoin", [BTC])
    inject(market, NoPong(exchange="kucoin", duration_s=5))
    rig = start("binance", [BTC])
    inject(market, Disconnect(exchange="binance", code=1011))
    until(lambda: rig.count("reconnects_total", cause="lost") == 1, 10)
    rig.goes_on(BTC)
    until(lambda: not rig.healer.holes(), 10)
    assert rig.is_complete(BTC)
    silent.goes_on(BTC)
    assert silent.reconnects() == 0


def test_07_queue_overflow_lets_streams_die_silently(start: Start) -> None:
    """Where nothing can be handed on, nothing is read, and nothing dropped (python-binance #1057)."""
    rig = start("binance", [BTC, ETH])
    rig.open.clear()
    held = len(rig.trades)
    newest = max(trade.trade_id for trade in rig.market.control.true_trades("binance", BTC))
    until(lambda: rig.market.control.true_trades("binance", BTC)[-1].trade_id > newest + 100, 30)
    assert len(rig.trades) == held
    rig.open.set()
    until(lambda: rig.newest(BTC) > newest + 100, 10)
    until(lambda: not rig.healer.holes(), 10)
    assert rig.is_complete(BTC)
    assert rig.is_complete(ETH)
    assert rig.reconnects() == 0  # our own slowness is not the connection's silence


def test_08_backlog_grows_and_event_time_drifts(start: Start) -> None:
    """A backlog is worked off at once, after which trades are as fresh as before (cryptofeed #426)."""
    rig = start("binance", [BTC, ETH])
    rig.open.clear()
    threading.Timer(3, rig.open.set).start()
    rig.open.wait()
    rig.goes_on(BTC, ETH)

    def fresh() -> bool:
        last = rig.trades[-1]
        return last.received_at_us - last.traded_at_us < 1_000_000

    until(fresh, 5)
    assert rig.is_complete(BTC)


def test_09_duplicates_and_losses_after_a_bad_network(market: Simulator, start: Start) -> None:
    """Whatever comes twice, late, in disorder or not at all: all trades are delivered (hummingbot #2642)."""
    rig = start("binance", [BTC, ETH])
    inject(
        market,
        Duplicates(exchange="binance", count=50),
        Loss(exchange="binance", count=50),
        Disorder(exchange="binance", count=50, group=5),
        Disconnect(exchange="binance"),
    )
    until(lambda: not market.control.faults(), 20)
    rig.goes_on(BTC, ETH)
    until(lambda: not rig.healer.holes(), 15)
    assert rig.ids(BTC, "rest")
    assert rig.is_complete(BTC)
    assert rig.is_complete(ETH)
    assert rig.count("holes_left_total") == 0


def test_10_banned_with_418(market: Simulator, start: Start) -> None:
    """A ban is waited out to the second, and healing goes on after it (ccxt #14639)."""
    rig = start("binance", [BTC])
    inject(market, RestError(exchange="binance", status=418, retry_after_s=3, count=1))
    banned_from = time.monotonic()
    inject(market, Loss(exchange="binance", symbols=[BTC], count=5))
    until(lambda: rig.count("holes_total"), 10)
    until(lambda: not rig.healer.holes(), 15)
    assert time.monotonic() - banned_from >= 3
    assert rig.is_complete(BTC)


def test_11_token_expired_on_reconnect(market: Simulator, start: Start) -> None:
    """Each connect fetches a token of its own, and once more if that one is bad too (XChange #4740)."""
    rig = start("kucoin", [BTC, ETH])
    inject(market, TokenExpired(exchange="kucoin", count=1), Disconnect(exchange="kucoin"))
    rig.goes_on(BTC, ETH)
    until(lambda: not rig.healer.holes(), 10)
    assert rig.is_complete(BTC)
    assert rig.count("reconnects_total", cause="lost") >= 1


def test_12_kucoin_drops_messages_to_slow_clients(market: Simulator, start: Start) -> None:
    """Ids with steps cannot show a loss inside a connection: REST tells that trades are missing (api-docs #44).

    The nearest that is true here. The monitor finds such a loss by comparing with the exchange's candle.
    """
    rig = start("kucoin", [BTC])
    inject(market, Loss(exchange="kucoin", symbols=[BTC], count=5))
    until(lambda: not market.control.faults(), 20)
    rig.goes_on(BTC)
    lost = set(market.control.sent("kucoin", BTC).faults["loss"])
    told = {trade.trade_id for trade in rig.history.recent_trades(BTC)}
    assert len(lost) == 5
    assert lost <= told - set(rig.ids(BTC))
    assert rig.healer.holes() == {}


@pytest.mark.parametrize("how", ["truncated", "missing_field"])
def test_12_what_kucoin_sends_broken_is_made_up_for(market: Simulator, start: Start, how: str) -> None:
    """A trade attests nothing across a frame that was not understood, so a hole shows and is healed."""
    rig = start("kucoin", [BTC, ETH])
    inject(market, Malformed(exchange="kucoin", symbols=[BTC], count=5, how=how))
    until(lambda: not market.control.faults(), 20)
    rig.goes_on(BTC, ETH)
    until(lambda: not rig.healer.holes(), 15)
    assert rig.is_complete(BTC)
    assert rig.is_complete(ETH)
    assert rig.count("rejected_frames_total") == 5


def test_13_holes_of_the_past_are_repaired_later(market: Simulator, start: Start) -> None:
    """What REST does not have yet is asked for again (of bulk files: binance-public-data #28).

    The nearest that is true here: the producer reads no bulk files.
    """
    rig = start("binance", [BTC])
    inject(market, RestLag(exchange="binance", symbols=[BTC], trades=5000, duration_s=3))
    inject(market, Loss(exchange="binance", symbols=[BTC], count=5))
    until(lambda: rig.count("holes_total"), 10)
    assert rig.ids(BTC, "rest") == []
    until(lambda: not rig.healer.holes(), 15)
    assert len(rig.ids(BTC, "rest")) == 5
    assert rig.is_complete(BTC)


def test_14_a_halt_is_no_loss(market: Simulator, start: Start) -> None:
    """A silent market makes no hole, and reconnects ever more rarely (ccxt #8068)."""
    rig = start("binance", [BTC], [ETH], timing=Timing(stale_after_s=0.5, backoff_first_s=0.1, overlap_s=0.5))
    inject(market, Halt(exchange="binance", symbols=[BTC], duration_s=6))
    until(lambda: rig.reconnects() >= 2, 20)  # trades from before the halt may still arrive
    rig.goes_on(BTC, within_s=30)
    assert rig.count("holes_total") == 0
    # after 0.5 s, then 1, 2, 4: without the growth it would be twelve times
    assert 2 <= rig.reconnects() <= 5
    assert rig.is_complete(BTC)


def test_15_a_renamed_ticker_is_noticed(market: Simulator, start: Start) -> None:
    """A symbol that the exchange no longer knows is silent and named, and disturbs no other (dcrdex #3310)."""
    rig = Rig(market, "binance", [["MATIC-USDT", BTC]], FAST)
    try:
        rig.goes_on(BTC)
        silence = Silence(["MATIC-USDT", BTC], after_s=1)
        rig.goes_on(BTC)
        until(lambda: silence.look(rig.healer.tops())[0] == ["MATIC-USDT"], 10)
        assert rig.reconnects() == 0
    finally:
        rig.close()


def test_15_a_reused_ticker_whose_ids_start_again_makes_no_hole() -> None:
    """Ids below those already seen are no loss (BittyTax #289); see the known limits for what they are."""
    healer = Healer(
        "binance", History("binance", "http://127.0.0.1:1", weight_share=0.1), print, Metrics(), page=1000
    )
    one = Decimal(1)
    for trade_id in (10**6, 1, 2, 3):
        healer.watch([Trade("binance", "LUNA-USDT", trade_id, trade_id - 1, one, one, "buy", 1, 1, "ws")])
    assert (healer.holes(), healer.tops()) == ({}, {"LUNA-USDT": 10**6})
