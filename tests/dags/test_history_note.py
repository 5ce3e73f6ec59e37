"""The plan of a history run, as people read it before anything runs."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crypto_pipeline.history.note import note, spelled_duration
from crypto_pipeline.history.plan import DayPlan

PLAN = DayPlan(
    "binance", "BTC-USDT", "trades", datetime(2026, 11, 19, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC),
    1, 1_200_000, 1_200_000, "rest", 1200, 30_000, 1500.0,
)  # fmt: skip


def test_the_note_says_what_it_costs() -> None:
    plans = [PLAN, replace(PLAN, symbol="ETH-USDT", way="bulk file", calls=0, weight=0, seconds=130)]
    lines = note(plans, 0.2).splitlines()
    assert lines[0] == (
        "**2,400,000 trades** to fetch, in 2 days of 2 symbols: 1,200 REST calls, weight 30,000, "
        "**about 28 min** at 20 % of the weight of this address."
    )
    assert lines[4:6] == [
        "| binance:BTC-USDT | 2026-11-19 00:00 | 2026-11-20 00:00 | 1 | 0 | 1,200,000 | 1,200 | 30,000 | 25 min |",
        "| binance:ETH-USDT | 2026-11-19 00:00 | 2026-11-20 00:00 | 1 | 1 | 1,200,000 | 0 | 0 | 3 min |",
    ]
    assert "history_days" in lines[-1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89.2, "90 s"), (90, "2 min"), (5399, "90 min"), (12600, "3.5 h")]
)
def test_durations_are_spelled_for_people(seconds: float, text: str) -> None:
    assert spelled_duration(seconds) == text
