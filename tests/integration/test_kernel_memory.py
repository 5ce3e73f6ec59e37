"""The kernel in a process that lives for days."""

from decimal import Decimal

import psutil
import pyarrow as pa
import pytest
from model.market import T0_US

from producer.trade import Trade, to_wire
from spark_processor import kernel

_WARM_UP, _EVALUATIONS = 300, 2700  # half an hour of batches; a minute or two here
_MAY_GROW_MB = 20  # an engine that is never renewed grows by a hundred


@pytest.mark.slow
def test_evaluating_again_and_again_leaves_no_memory_behind() -> None:
    messages = _messages()
    coverage = kernel.Coverage.of([("binance", f"S{number}-USDT", 1, 9) for number in range(200)], [])
    for _ in range(_WARM_UP):
        kernel.evaluate(messages, coverage)
    before = _memory_mb()
    for _ in range(_EVALUATIONS):
        kernel.evaluate(messages, coverage)
    assert _memory_mb() - before < _MAY_GROW_MB


def _messages() -> pa.Table:
    trades = [
        Trade(
            "binance",
            "BTC-USDT",
            number,
            number - 1,
            Decimal("100.5"),
            Decimal(2),
            "buy",
            T0_US,
            T0_US + 1000,
            "ws",
        )
        for number in range(10, 30)
    ]
    rows = [(to_wire(trade), b"key", 3, trade.trade_id) for trade in trades]
    return kernel.table_of(rows, kernel.MESSAGES)


def _memory_mb() -> float:
    return float(psutil.Process().memory_full_info().uss) / 2**20
