"""What people read: the view of the best that is known, the regular grid, and the rights of each role."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names its class in lower case

T0 = datetime(2025, 3, 4, tzinfo=UTC)


@pytest.fixture
def db(new_database: Any) -> Iterator[Connection]:
    connection = psycopg2.connect(new_database())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'")
        cursor.execute("insert into exchanges values ('binance', true), ('kucoin', false)")
    yield connection
    connection.close()


def run(db: Connection, statement: str, *values: Any) -> list[Any]:
    with db.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def minute(number: int) -> datetime:
    return T0 + timedelta(minutes=number)


def insert(db: Connection, table: str, row: Mapping[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    run(db, f"insert into {table} ({names}) values ({marks})", *row.values())  # noqa: S608 - names of this file


def bar(db: Connection, exchange: str, number: int, first_id: int, last_id: int, close: int = 10) -> None:
    prices = dict.fromkeys(["open", "high", "low", "close"], close)
    volumes = dict.fromkeys(["volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"], 1)
    ids = {"first_trade_id": first_id, "last_trade_id": last_id, "trade_count": last_id - first_id + 1}
    key = {"exchange": exchange, "symbol": "A-B", "window_start": minute(number)}
    insert(db, "trades_1min_agg", key | prices | volumes | ids)


def candle(db: Connection, exchange: str, number: int, close: int = 10, volume: int = 1) -> None:
    prices = dict.fromkeys(["open", "high", "low", "close"], close)
    key = {"exchange": exchange, "symbol": "A-B", "window_start": minute(number)}
    insert(db, "candles_1min", key | prices | {"volume": volume, "quote_volume": volume})


def cover(db: Connection, exchange: str, seen: str, confirmed_through: datetime | None = None) -> None:
    row = {"exchange": exchange, "symbol": "A-B", "seen": seen, "wanted": "{[0,)}"}
    insert(db, "coverage", row | {"confirmed_through": confirmed_through})
    run(db, "select mark_proven(%s, 'A-B')", exchange)


def read(db: Connection, exchange: str) -> list[tuple[int, str, str, int]]:
    """Number of the minute, source, completeness and close of each row."""
    rows = run(
        db,
        "select window_start, source, completeness, close from bars_1min where exchange = %s order by 1",
        exchange,
    )
    return [((row[0] - T0) // timedelta(minutes=1), row[1], row[2], row[3]) for row in rows]


def test_a_bar_is_proven_incomplete_or_open(db: Connection) -> None:
    for number, first_id, last_id in [(0, 10, 19), (1, 20, 29), (2, 30, 39), (4, 50, 59), (5, 60, 69)]:
        bar(db, "binance", number, first_id, last_id)
    cover(db, "binance", "{[10,40),[50,70)}")
    assert read(db, "binance") == [
        (0, "trades", "incomplete", 10),  # nothing tells what came before the first bar
        (1, "trades", "proven", 10),
        (2, "trades", "incomplete", 10),
        (4, "trades", "incomplete", 10),
        (5, "trades", "open", 10),
    ]
    assert run(db, "select missing_ids('binance', 'A-B', %s, %s)::text", minute(2), minute(5)) == [("{[40,50)}",)]
    assert run(db, "select missing_ids('binance', 'A-B', %s, %s)::text", minute(1), minute(2)) == [("{}",)]


def test_a_confirmation_proves_the_newest_bar(db: Connection) -> None:
    bar(db, "binance", 0, 10, 19)
    bar(db, "binance", 1, 20, 29)
    cover(db, "binance", "{[10,30)}")
    assert run(db, "select confirm('binance', 'A-B', 30, %s)", minute(9)) == [(False,)]
    assert run(db, "select confirm('binance', 'A-B', 29, %s)", minute(2) - timedelta(seconds=1)) == [(True,)]
    assert read(db, "binance")[1] == (1, "trades", "open", 10)
    assert run(db, "select confirm('binance', 'A-B', 29, %s)", minute(2)) == [(True,)]
    assert read(db, "binance")[1] == (1, "trades", "proven", 10)


def test_a_candle_stands_in_for_what_is_not_proven(db: Connection) -> None:
    for number in range(3):
        bar(db, "binance", number, number * 10, number * 10 + 9)
    cover(db, "binance", "{[0,30)}")
    for number in (0, 1, 4):
        candle(db, "binance", number, close=11)
    assert read(db, "binance") == [
        (0, "candle", "candle", 11),
        (1, "trades", "proven", 10),  # a difference of a proven bar is the audit's
        (2, "trades", "open", 10),
        (4, "candle", "candle", 11),
    ]


def test_an_attested_bar_yields_to_a_candle_that_differs(db: Connection) -> None:
    for number in range(4):
        bar(db, "kucoin", number, number * 10, number * 10 + 9)
    cover(db, "kucoin", "{[0,40)}")
    candle(db, "kucoin", 1)
    candle(db, "kucoin", 2, close=12)
    assert read(db, "kucoin")[1:] == [
        (1, "trades", "attested", 10),
        (2, "candle", "candle", 12),
        (3, "trades", "open", 10),
    ]


def test_the_grid_fills_minutes_that_are_proven_empty(db: Connection) -> None:
    for number, first_id, last_id in [(0, 10, 19), (1, 20, 29), (3, 30, 39), (5, 50, 59)]:
        bar(db, "binance", number, first_id, last_id, close=number + 1)
    cover(db, "binance", "{[10,40),[50,60)}", confirmed_through=minute(7))
    candle(db, "binance", 2, close=99)  # the exchange's word on a minute that is proven to be empty
    rows = run(
        db,
        "select window_start, close, volume, trade_count, source, completeness"
        " from bars_1min_grid('binance', 'A-B', %s, %s)",
        minute(-1),
        minute(9),
    )
    one, none = Decimal(1), Decimal(0)
    assert rows == [
        (minute(-1), None, None, None, None, "incomplete"),
        (minute(0), Decimal(1), one, 10, "trades", "incomplete"),
        (minute(1), Decimal(2), one, 10, "trades", "proven"),
        (minute(2), Decimal(2), none, 0, "trades", "proven"),
        (minute(3), Decimal(4), one, 10, "trades", "incomplete"),
        (minute(4), None, None, None, None, "incomplete"),
        (minute(5), Decimal(6), one, 10, "trades", "incomplete"),
        (minute(6), Decimal(6), none, 0, "trades", "proven"),
        (minute(7), None, None, None, None, "open"),
        (minute(8), None, None, None, None, "open"),
    ]


def test_an_attested_empty_minute_yields_to_a_candle_with_trades(db: Connection) -> None:
    for number, first_id, last_id in [(0, 10, 19), (1, 20, 29), (4, 30, 39)]:
        bar(db, "kucoin", number, first_id, last_id, close=number)
    cover(db, "kucoin", "{[10,40)}")
    candle(db, "kucoin", 2, close=99)
    candle(db, "kucoin", 3, close=99, volume=0)  # the exchange's, too, says that there was no trade
    grid = "select close, volume, source, completeness from bars_1min_grid('kucoin', 'A-B', %s, %s)"
    assert run(db, grid, minute(1), minute(4)) == [
        (1, 1, "trades", "attested"),
        (99, 1, "candle", "candle"),
        (99, 0, "trades", "attested"),
    ]


def test_forgetting_makes_the_ids_of_a_minute_missing(db: Connection) -> None:
    for number, first_id, last_id in [(0, 10, 19), (1, 20, 29), (2, 30, 39)]:
        bar(db, "binance", number, first_id, last_id)
    cover(db, "binance", "{[10,40)}", confirmed_through=minute(3))
    run(db, "update coverage set wanted = '{[35,)}'")
    assert run(db, "select forget('binance', 'A-B', %s, %s)::text", minute(1), minute(2)) == [("{[20,30)}",)]
    assert [row[0] for row in read(db, "binance")] == [0, 2]
    assert run(db, "select seen::text, wanted::text, confirmed_through from coverage") == [
        ("{[10,20),[30,40)}", "{[20,30),[35,)}", minute(3))
    ]
    assert run(db, "select forget('binance', 'A-B', %s, %s)::text", minute(2), minute(3)) == [("{[30,40)}",)]
    assert run(db, "select seen::text, confirmed_through from coverage") == [("{[10,20)}", minute(2))]


def test_every_table_and_column_has_a_comment(db: Connection) -> None:
    bare = run(
        db,
        """
        select relname, attname
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace and nspname = 'public'
        join pg_attribute on attrelid = pg_class.oid and attnum >= 0 or attrelid = pg_class.oid and attnum is null
        where relkind in ('r', 'v') and col_description(pg_class.oid, attnum) is null
            or relkind in ('r', 'v') and obj_description(pg_class.oid, 'pg_class') is null
        union
        select proname, null
        from pg_proc
        join pg_namespace on pg_namespace.oid = pronamespace and nspname = 'public'
        where obj_description(pg_proc.oid, 'pg_proc') is null
        """,
    )
    assert bare == []
