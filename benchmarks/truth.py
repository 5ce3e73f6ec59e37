"""The judge of every contender's bars: what DuckDB makes, by truth.sql, of the trades that were published."""

from pathlib import Path

import duckdb
import psycopg2

from benchmarks.messages import LAST_SYMBOL


def wrong_bars(dsn: str, folder: Path) -> tuple[int, int]:
    """How many bars differ, lack or should not be there, and how many there should be.

    dsn: a database with the contender's table trades_1min_agg. folder: where the input's trades_*.parquet are.
    """
    with (
        psycopg2.connect(dsn) as connection,
        connection.cursor() as cursor,
        (folder / "bars.csv").open("w") as file,
    ):
        cursor.copy_expert(
            """copy (select symbol, extract(epoch from window_start)::bigint / 60, open, high, low, close, volume,
                            quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume
                     from trades_1min_agg) to stdout (format csv)""",
            file,
        )
    with duckdb.connect() as db:
        db.execute(f"set variable folder = '{folder}'")
        db.execute(f"set variable last_symbol = '{LAST_SYMBOL}'")
        db.execute((Path(__file__).parent / "truth.sql").read_text())
        wrong = db.execute("select count(distinct (symbol, minute)) from differing").fetchall()[0][0]
        bars = db.execute("select count(*) from expected").fetchall()[0][0]
    return int(wrong), int(bars)
