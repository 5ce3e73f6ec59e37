"""Faults of minutes on the running demo: each is told, repaired and closed, and every bar is what was traded.

At full length, so in `make test-faults`; `test_demo.py` has a short one. The monitor runs on its schedule, and by
hand where a test waits for it.
"""

import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from model.demo import Demo, wait_until
from model.verdict import unsettled_minutes

from local import leftovers
from local.exchange.control import Control
from local.exchange.faults import Disconnect, Halt, Loss, RestError, Stall

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MONITOR = "crypto_pipeline_monitor_dag"
BINANCE, KUCOIN = "binance", "kucoin"
BTC, ETH, TRX, ADA = "BTC-USDT", "ETH-USDT", "TRX-USDT", "ADA-USDT"
KEYS = [(BINANCE, BTC), (BINANCE, ETH), (BINANCE, TRX), (BINANCE, ADA), (KUCOIN, BTC)]
MINUTE = timedelta(minutes=1)
# a hole counts a minute after the end of the minute in which it ends
HOLE_COUNTS_AFTER_S = 125

_log = logging.getLogger(__name__)


@dataclass
class Fault:
    """One fault on the demo, from its beginning to its end."""

    demo: Demo
    truth: Control
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    mails_before: int = 0

    def mails(self) -> list[dict[str, Any]]:
        return self.demo.mails()[self.mails_before :]

    def unsettled(self, until: datetime) -> list[str]:
        since = self.began.replace(second=0, microsecond=0)
        return unsettled_minutes(self.demo, self.truth, KEYS, since, until)

    def lost(self, exchange: str, symbol: str) -> list[int]:
        return sorted(self.truth.sent(exchange, symbol).faults.get("loss", []))

    def monitor(self) -> float:
        """Runs the monitor by hand; how many seconds it took."""
        began = datetime.now(UTC)
        assert self.demo.run_dag(MONITOR, 600) == "success"
        return (datetime.now(UTC) - began).total_seconds()

    def is_over(self) -> bool:
        """Whether no alert is open, and people know."""
        dsn = self.demo.addresses()["POSTGRES_SUPERUSER_DSN"]
        return self.demo.query(
            "select count(*) from alerts where closed_at is null or unsent is not null", dsn=dsn
        ) == [(0,)]  # fmt: skip

    def closes(self, runs: int = 4) -> list[dict[str, Any]]:
        """Runs the monitor until all is over; the mails of this fault."""
        for _ in range(runs):
            self.monitor()
            if self.is_over():
                break
        assert self.is_over(), self.mails()[-1:]
        mails = self.mails()
        for mail in mails:
            _log.info("mail: %s", mail["subject"])
        return mails

    def settles(self, within_s: float) -> None:
        until = datetime.now(UTC).replace(second=0, microsecond=0)
        wait_until(lambda: self.unsettled(until) == [], within_s, f"all bars before {until:%H:%M} are right")


@pytest.fixture(scope="module")
def demo(running_demo: Any) -> Iterator[Demo]:
    with running_demo(
        ACTIVE_SYMBOLS=",".join(f"{exchange}:{symbol}" for exchange, symbol in KEYS),
        EXCHANGE_RATE="50",
        EXCHANGE_RECORDING="",
    ) as one:
        one.start()
        # the first bar of a symbol, which nothing can prove, is not to be among those that a fault is judged by
        begun = "select count(distinct (exchange, symbol)) from trades_1min_agg where proven_at is not null"
        wait_until(lambda: one.query(begun) == [(len(KEYS),)], 300, "a proven bar of each symbol")
        yield one


@pytest.fixture
def fault(demo: Demo) -> Iterator[Fault]:
    with demo.truth() as truth:
        before = Fault(demo, truth)
        before.closes()
        yield Fault(demo, truth, mails_before=len(demo.mails()))
        truth.end_faults()


def test_a_silent_loss_of_5000_trades_is_repaired_by_one_run_and_told_in_two_mails(fault: Fault) -> None:
    lost_before = {symbol: fault.lost(BINANCE, symbol) for symbol in (BTC, ETH, TRX)}
    for symbol in (BTC, ETH, TRX):
        fault.truth.change_rate(BINANCE, symbol, 40)
    fault.truth.inject(Loss(exchange=BINANCE, symbols=[BTC, ETH, TRX], count=5000))
    wait_until(lambda: fault.truth.faults() == [], 300, "5,000 trades are lost")
    ended = datetime.now(UTC)
    lost = {
        symbol: [i for i in fault.lost(BINANCE, symbol) if i not in lost_before[symbol]] for symbol in lost_before
    }
    assert sum(map(len, lost.values())) == 5000
    for symbol in (BTC, ETH, TRX):
        fault.truth.change_rate(BINANCE, symbol, 10)
    wait_until(lambda: datetime.now(UTC) > ended + timedelta(seconds=HOLE_COUNTS_AFTER_S), 150, "the holes count")
    took_s = fault.monitor()
    fault.settles(60)
    mails = fault.closes()
    naming = [m for m in mails if all(f"binance:{symbol}" in m["text"] for symbol in (BTC, ETH, TRX))]
    _log.info("5,000 trades: the run took %.0f s", took_s)
    assert naming, [mail["text"] for mail in mails]
    for symbol in (BTC, ETH, TRX):
        assert str(lost[symbol][0]) in naming[0]["text"]
    assert "over" in mails[-1]["subject"]


def test_a_broker_outage_of_3_minutes_loses_nothing(fault: Fault) -> None:
    fault.demo.supervise("stop", "broker")
    wait_until(lambda: datetime.now(UTC) > fault.began + 3 * MINUTE, 200, "3 minutes")
    fault.demo.supervise("start", "broker")
    fault.closes()
    fault.settles(120)


def test_a_stalled_feed_is_told_by_name_and_caught_up(fault: Fault) -> None:
    fault.truth.inject(Stall(exchange=BINANCE, symbols=[TRX], duration_s=200))
    wait_until(lambda: datetime.now(UTC) > fault.began + 1.5 * MINUTE, 120, "the feed stands")
    fault.monitor()
    [mail] = [mail for mail in fault.mails() if "stalled" in mail["subject"]]
    assert f"binance:{TRX}" in mail["text"]
    wait_until(lambda: fault.truth.faults() == [], 300, "the end of the stall")
    counts_at = fault.began + timedelta(seconds=200 + HOLE_COUNTS_AFTER_S)
    wait_until(lambda: datetime.now(UTC) > counts_at, 200, "the hole counts")
    fault.closes()
    fault.settles(120)


def test_a_producer_dead_for_10_minutes_is_told_and_made_up_for(fault: Fault) -> None:
    for process in leftovers.find(fault.demo.state_dir):
        if process.cmdline()[1:3] == ["-m", "producer"]:
            process.send_signal(signal.SIGKILL)
    fault.demo.supervise("stop", "producer")
    wait_until(lambda: datetime.now(UTC) > fault.began + 10 * MINUTE, 700, "10 minutes")
    assert any("stalled" in mail["subject"] for mail in fault.mails())
    fault.demo.supervise("start", "producer")
    wait_until(lambda: datetime.now(UTC) > fault.began + 12.5 * MINUTE, 200, "the holes count")
    fault.closes(6)
    fault.settles(120)


def test_429_and_then_418_delay_a_repair_and_do_not_prevent_it(fault: Fault) -> None:
    fault.truth.inject(Loss(exchange=BINANCE, symbols=[BTC], count=300))
    wait_until(lambda: fault.truth.faults() == [], 300, "300 trades are lost")
    wait_until(lambda: datetime.now(UTC) > fault.began + 3 * MINUTE, 200, "the hole counts")
    fault.truth.inject(RestError(exchange=BINANCE, status=429, retry_after_s=20, count=1))
    fault.monitor()
    fault.truth.inject(RestError(exchange=BINANCE, status=418, retry_after_s=120, count=1))
    fault.monitor()
    fault.closes(6)
    fault.settles(120)


@pytest.mark.parametrize("count", [20, 500])
def test_what_kucoin_loses_is_mended_by_its_trades_or_its_candles(fault: Fault, count: int) -> None:
    fault.truth.change_rate(KUCOIN, BTC, 20)
    fault.truth.inject(Loss(exchange=KUCOIN, symbols=[BTC], count=count))
    wait_until(lambda: fault.truth.faults() == [], 300, f"{count} trades are lost")
    fault.truth.inject(Disconnect(exchange=KUCOIN))
    wait_until(lambda: datetime.now(UTC) > fault.began + 3 * MINUTE, 300, "its minutes are closed")
    fault.closes(6)
    fault.settles(180)


def test_a_halted_market_is_a_note_and_no_alarm(fault: Fault) -> None:
    fault.truth.inject(Halt(exchange=BINANCE, symbols=[ADA], duration_s=780))
    wait_until(lambda: datetime.now(UTC) > fault.began + 12 * MINUTE, 900, "a halt of more than ten minutes")
    fault.monitor()
    assert [mail["subject"] for mail in fault.mails() if ADA in mail["subject"]] == []
    fault.settles(60)
