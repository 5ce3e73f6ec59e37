"""The exchange's candles into `candles_1min`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from psycopg2.extras import execute_values

from crypto_pipeline.period import EPOCH
from crypto_pipeline.statements import statement
from producer.exchanges.adapter import Candle

if TYPE_CHECKING:
    from psycopg2.extensions import connection


def store_candles(db: "connection", candles: Sequence[Candle], asked_at: datetime) -> int:
    """Keeps candles, in one transaction; the newest word of the exchange on a minute counts. Returns how many.

    asked_at: when the exchange was asked, or just before: a candle says nothing of what came later.
    """
    with db, db.cursor() as cursor:
        execute_values(cursor, statement("store_candles"), [_row(candle, asked_at) for candle in candles])
    return len(candles)


def _row(candle: Candle, asked_at: datetime) -> tuple[object, ...]:
    return (
        candle.exchange,
        candle.symbol,
        EPOCH + timedelta(microseconds=candle.opened_at_us),
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.trade_count,
        candle.taker_buy_volume,
        candle.taker_buy_quote_volume,
        asked_at,
    )
