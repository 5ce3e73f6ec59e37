"""What people see of a symbol."""

import io
from decimal import Decimal

import pytest
from rich.console import Console

from local import view
from local.view import Row, line, table

BTC = Row("binance", "BTC-USDT", Decimal("67000.10"), 12, 0, 0.84)
QUIET = Row("kucoin", "KCS-USDT")


def test_a_symbol_in_a_line() -> None:
    assert line(BTC) == "binance BTC-USDT 67000.1, bars proven: 12, holes: 0, lag: 0.8 s"
    assert line(QUIET) == "kucoin KCS-USDT no trade yet"
    late = Row("binance", "TRX-USDT", Decimal("100"), 1, 2, 3600.0)
    assert line(late) == "binance TRX-USDT 100, bars proven: 1, holes: 2, lag: 60 min"


def shown(rows: list[Row], states: dict[str, str]) -> str:
    output = io.StringIO()
    Console(width=100, file=output).print(table(rows, states))
    return output.getvalue()


def test_the_table_shows_each_symbol_and_what_does_not_run() -> None:
    words = [text.split() for text in shown([BTC, QUIET], {"broker": "RUNNING", "job": "BACKOFF"}).splitlines()]
    assert ["│", "binance", "│", "BTC-USDT", "│", "67000.1", "│", "12", "│", "0", "│", "0.8", "s", "│"] in words
    assert ["│", "kucoin", "│", "KCS-USDT", "│", "│", "0", "│", "0", "│", "│"] in words
    assert words[-1] == ["job", "(backoff)"]


def test_without_a_terminal_lines_tell_what_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(view.time, "sleep", interrupt)
    output = io.StringIO()
    away = "host=127.0.0.1 port=1"
    with pytest.raises(KeyboardInterrupt):
        view.show(
            Console(width=100, file=output), away, [("kucoin", "KCS-USDT")], {"pages": "http://here"},
            lambda: {"broker": "RUNNING", "database": "BACKOFF"},
        )  # fmt: skip
    assert output.getvalue().splitlines()[-2:] == [
        "kucoin KCS-USDT no trade yet",
        "not running: database (backoff)",
    ]


def test_a_long_table_says_how_many_are_left_out() -> None:
    assert "5 more symbols" in shown([Row("binance", f"S{n}-USDT") for n in range(35)], {"job": "RUNNING"})
