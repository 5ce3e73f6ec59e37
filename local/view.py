"""What the demo shows while it runs: a live table in a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psycopg2
from rich.console import Console
from rich.live import Live
from rich.table import Table

_QUERY = Path(__file__).with_name("overview.sql").read_text()
_TABLE_EVERY_S = 1.0
_LINES_EVERY_S = 10.0
_ROWS = 30


@dataclass(frozen=True, slots=True)
class Row:
    """One symbol. lag_s: None before its first trade."""

    exchange: str
    symbol: str
    price: Decimal | None = None
    bars_proven: int = 0
    holes: int = 0
    lag_s: float | None = None


def show(
    console: Console,
    dsn: str,
    symbols: Sequence[tuple[str, str]],
    addresses: Mapping[str, str],
    states: Callable[[], Mapping[str, str]],
) -> None:
    """Shows how the pipeline does, until it is interrupted.

    symbols: (exchange, symbol), those to show also before they have a trade. addresses: what can be opened, by
    what it is. states: of the processes, by name; what it raises ends the show.
    """
    for what, address in addresses.items():
        console.print(f"{what:<18} {address}", highlight=False, soft_wrap=True)
    if not console.is_terminal:
        while True:
            for row in read(dsn, symbols):
                console.print(line(row), highlight=False, soft_wrap=True)
            if ails := ailing(states()):
                console.print(f"not running: {ails}", highlight=False, soft_wrap=True)
            time.sleep(_LINES_EVERY_S)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(table(read(dsn, symbols), states()), refresh=True)
            time.sleep(_TABLE_EVERY_S)


def read(dsn: str, symbols: Sequence[tuple[str, str]]) -> list[Row]:
    """The rows by exchange and symbol, those without a trade too; only those while the database is away."""
    rows = {key: Row(*key) for key in symbols}
    try:
        connection = psycopg2.connect(dsn, connect_timeout=5)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(_QUERY)
                rows |= {(row[0], row[1]): Row(*row) for row in cursor.fetchall()}
        finally:
            connection.close()
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        pass  # it went away, maybe in the middle; its process is started again, and seen in `states`
    return [rows[key] for key in sorted(rows)]


def line(row: Row) -> str:
    """A symbol in one line of text."""
    if row.price is None:
        return f"{row.exchange} {row.symbol} no trade yet"
    return (
        f"{row.exchange} {row.symbol} {_plain(row.price)}, bars proven: {row.bars_proven}, holes: {row.holes}, "
        f"lag: {_seconds(row.lag_s)}"
    )


def table(rows: Sequence[Row], states: Mapping[str, str]) -> Table:
    """All symbols as a table, with the processes that do not run now below it."""
    more = f", {len(rows) - _ROWS} more symbols" if len(rows) > _ROWS else ""
    result = Table(
        caption=(ailing(states) or "Ctrl-C stops everything, and the next start goes on from there") + more,
        caption_justify="left",
    )
    for name in ("exchange", "symbol"):
        result.add_column(name)
    for name in ("last price", "bars proven", "holes", "lag"):
        result.add_column(name, justify="right")
    for row in rows[:_ROWS]:
        price = "" if row.price is None else _plain(row.price)
        holes = f"[red]{row.holes}[/red]" if row.holes else "0"
        result.add_row(row.exchange, row.symbol, price, str(row.bars_proven), holes, _seconds(row.lag_s))
    return result


def ailing(states: Mapping[str, str]) -> str:
    """The processes that do not run now, with what they do instead; empty if all run."""
    return "; ".join(f"{name} ({state.lower()})" for name, state in states.items() if state != "RUNNING")


def _plain(price: Decimal) -> str:
    text = format(price, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
