"""What the demo shows of its database, whatever becomes of that."""

import threading
from collections.abc import Callable
from contextlib import closing

import psycopg2
from model.demo import wait_until

from local.view import Row, read

_END_WAITING = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
"""


def test_a_session_that_the_server_ends_in_the_middle_leaves_the_rows_without_a_trade(
    new_database: Callable[[], str],
) -> None:
    dsn = new_database()
    shown: list[list[Row]] = []
    reading = threading.Thread(target=lambda: shown.append(read(dsn, [("binance", "A-B")])))
    with closing(psycopg2.connect(dsn)) as locking, closing(psycopg2.connect(dsn)) as other:
        other.autocommit = True
        with locking.cursor() as locks, other.cursor() as cursor:
            locks.execute("lock table latest_prices in access exclusive mode")
            reading.start()

            def ended_while_waiting() -> bool:
                cursor.execute(_END_WAITING)
                return cursor.rowcount == 1

            wait_until(ended_while_waiting, 10, "the reader waits for the table")
            reading.join(10)
    assert shown == [[Row("binance", "A-B")]]
