"""Fills a topic with the contract's messages, and keeps the trades to judge the bars by.

Run as a process, one a share of the symbols:
    python -m benchmarks.messages SERVERS TOPIC MESSAGES SYMBOLS SHARE SHARES PARQUET
"""

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
from kafka import KafkaProducer

from local.broker import PARTITIONS
from producer.trade import Trade, message_key, to_wire

DUPLICATES = 0.01
SPAN_US = 660_000_000  # eleven minutes of trading
T0_US = 1_732_147_200_000_000

_CENT = Decimal("0.01")


def trades(count: int, symbols: range, seed: int) -> Iterator[Trade]:
    """So many trades in the order of time; a few symbols have most of them."""
    random = Random(seed)
    names = [f"S{number:03d}-USDT" for number in symbols]
    weights = [1 / (place + 5) for place in range(len(names))]
    next_ids = [random.randrange(1000, 10**9) for _ in names]
    prices = [random.randrange(100, 10**7) for _ in names]
    traded_at_us = T0_US
    for chosen in random.choices(range(len(names)), weights, k=count):
        traded_at_us += random.randrange(2 * SPAN_US // count + 1)
        prices[chosen] = max(1, prices[chosen] + random.randrange(-5, 6))
        trade_id = next_ids[chosen]
        next_ids[chosen] += 1
        yield Trade(
            "binance",
            names[chosen],
            trade_id,
            trade_id - 1,
            (prices[chosen] * _CENT).quantize(Decimal("0.00000001")),
            Decimal(random.randrange(1, 10**9)).scaleb(-8),
            "buy" if random.random() < 0.5 else "sell",
            traded_at_us,
            traded_at_us + random.randrange(500, 90_000),
            "ws",
        )


def main(servers: str, topic: str, messages: int, symbols: range, seed: int, parquet: Path) -> None:
    random = Random(seed)
    kept: list[tuple[str, int, Decimal, Decimal, bool, int]] = []
    sender = KafkaProducer(bootstrap_servers=servers, compression_type="gzip", linger_ms=50, batch_size=1 << 18)
    for trade in trades(round(messages / (1 + DUPLICATES)), symbols, seed):
        key, value = message_key(trade.exchange, trade.symbol), to_wire(trade)
        partition = int(trade.symbol[1:4]) % PARTITIONS
        for _ in range(2 if random.random() < DUPLICATES else 1):
            sender.send(topic, value, key=key, partition=partition)
        kept.append(
            (
                trade.symbol,
                trade.trade_id,
                trade.price,
                trade.quantity,
                trade.taker_side == "buy",
                trade.traded_at_us,
            )
        )
    sender.flush()
    sender.close()
    number = pa.decimal128(18, 8)
    schema = pa.schema(
        [
            *(("symbol", pa.string()), ("trade_id", pa.int64()), ("price", number), ("quantity", number)),
            *(("buy", pa.bool_()), ("traded_at_us", pa.int64())),
        ]
    )
    columns = [pa.array(c, f.type) for c, f in zip(zip(*kept, strict=True), schema, strict=True)]
    pq.write_table(pa.table(columns, schema), parquet)


if __name__ == "__main__":
    share, shares = int(sys.argv[5]), int(sys.argv[6])
    main(
        sys.argv[1],
        sys.argv[2],
        int(sys.argv[3]) // shares,
        range(share, int(sys.argv[4]), shares),
        share,
        Path(sys.argv[7]),
    )
