"""An hour of plain work: nothing grows, and every bar is right."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chaos.ages import ages_taken
from chaos.resources import holdings_taken, measures
from chaos.soak import markdown, rows
from model.demo import Demo, wait_until
from model.verdict import unsettled_minutes

from local.exchange.listing import expand

REPORT = Path(__file__).parents[2] / "docs" / "chaos" / "soak.md"
# Java compiles, caches fill, Spark keeps the last hundred batches, Airflow has run its first DAGs.
_WARM_UP_S = 600
_SETTLE_WITHIN_S = 420  # the monitor's next run and what it confirms

LoadedDemo = Callable[..., AbstractContextManager[Demo]]


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_a_soak_leaves_everything_flat(loaded_demo: LoadedDemo) -> None:
    """With the variables SOAK_MINUTES, after ten of warming up, SOAK_SYMBOLS, of both exchanges, and SOAK_RATE."""
    minutes, rate = float(os.environ.get("SOAK_MINUTES", "60")), float(os.environ.get("SOAK_RATE", "1000"))
    symbols = int(os.environ.get("SOAK_SYMBOLS", "50"))
    keys = expand([f"binance:{symbols - symbols // 2}", f"kucoin:{symbols // 2}"])
    with loaded_demo(keys, rate=rate) as demo:
        demo.start()
        wait_until(lambda: demo.query("select count(*) from batches where trades > 0") > [(0,)], 240, "a batch")
        began_s = time.time() + _WARM_UP_S
        with holdings_taken(demo) as holdings, ages_taken(demo.addresses()) as ages:
            time.sleep(began_s + minutes * 60 - time.time())
        since = datetime.fromtimestamp(began_s, UTC).replace(second=0, microsecond=0)
        until = datetime.now(UTC).replace(second=0, microsecond=0)
        with demo.truth() as truth:
            wrong: list[str] = []

            def settled() -> bool:
                wrong[:] = unsettled_minutes(demo, truth, keys, since, until)
                return not wrong

            deadline = time.monotonic() + _SETTLE_WITHIN_S
            while not settled() and time.monotonic() < deadline:
                time.sleep(10)
        [(bars,)] = demo.query(
            "select count(*) from bars_1min where window_start >= %s and window_start < %s", since, until
        )
        [(trades,)] = demo.query(
            "select sum(trades) from batches where committed_at >= %s", since + timedelta(minutes=1)
        )
        mails = [mail["subject"] for mail in demo.mails()]
    found = rows(holdings, ages.taken, measures(), began_s, minutes * 60)
    told = [
        f"{minutes:.0f} minutes from {since:%Y-%m-%d %H:%M} UTC, after {_WARM_UP_S // 60} of warming up",
        f"load: {rate:,.0f} trades/s of {symbols} symbols of both exchanges; {trades:,} trades",
        f"bars wrong or not vouched for: {len(wrong)} of {bars:,}",
        f"mails: {', '.join(mails) or 'none'}",
    ]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(markdown("Soak", told, found))
    assert wrong == []
    assert [row.name for row in found if not row.flat] == []
    assert mails == []
