"""Made-up trades in a topic, as a producer would write them, and on disk, as the truth to judge bars by.

Run as a process, one a share of the symbols:
    python -m benchmarks.messages SERVERS TOPIC MESSAGES SYMBOLS INPUT SPAN_US SHARE SHARES PARTITIONS PARQUET
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from heapq import heappop, heappush
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
from kafka import KafkaProducer

from local.broker import PARTITIONS, create_topic
from producer.trade import Trade, message_key, to_wire

T0_US = 1_732_147_200_000_000
# The last message is a trade of this symbol, a day later, so that whoever waits for time to pass sees it pass.
LAST_SYMBOL = "END-USDT"
POISON_BYTES = 250  # as long as a trade's message

_SHARES = 2
_CENT = Decimal("0.01")
_A_SECOND_US = 1_000_000

_NUMBER = pa.decimal128(18, 8)
_KEPT = pa.schema(
    [
        *(("symbol", pa.string()), ("trade_id", pa.int64()), ("price", _NUMBER), ("quantity", _NUMBER)),
        *(("buy", pa.bool_()), ("traded_at_us", pa.int64())),
    ]
)
_KEPT_AT_ONCE = 100_000


@dataclass(frozen=True)
class Input:
    """A kind of stream.

    span_us: how much of trading it holds.
    duplicated, disordered, late: the share of trades sent twice, of messages up to 5 s behind their time, and of
        those up to an hour behind it.
    poisoned: how many messages of random bytes stand beside each trade.
    """

    name: str
    span_us: int
    duplicated: float = 0
    disordered: float = 0
    late: float = 0
    poisoned: float = 0


INPUTS = {
    one.name: one
    for one in (
        Input("clean", 660 * _A_SECOND_US),
        Input("adversarial", 7800 * _A_SECOND_US, duplicated=0.01, disordered=0.05, late=0.005),
        # 10,000 a second beside 200,000 trades
        Input("poisoned", 660 * _A_SECOND_US, poisoned=0.05),
    )
}


def fill(
    servers: str,
    topic: str,
    messages: int,
    symbols: int,
    kind: Input,
    folder: Path,
    partitions: int = PARTITIONS,
) -> None:
    """Makes the topic with about so many messages, and folder/trades_*.parquet with their trades, each once."""
    create_topic(servers, topic, partitions)
    fillers = [
        subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-m", "benchmarks.messages", servers, topic, str(messages)),
                *(str(symbols), kind.name, str(kind.span_us), str(share), str(_SHARES), str(partitions)),
                str(folder / f"trades_{share}.parquet"),
            ]
        )
        for share in range(_SHARES)
    ]
    if any(filler.wait() for filler in fillers):
        raise SystemExit("the topic could not be filled")
    at_us = T0_US + kind.span_us + 86_400 * _A_SECOND_US
    last = Trade("binance", LAST_SYMBOL, 1, 0, Decimal(1), Decimal(1), "buy", at_us, at_us, "ws")
    sender = KafkaProducer(bootstrap_servers=servers)
    sender.send(topic, to_wire(last), key=message_key(last.exchange, last.symbol), partition=0)
    sender.flush()
    sender.close()


def trades(count: int, symbols: range, span_us: int, seed: int) -> Iterator[Trade]:
    """So many trades in the order of time; a few symbols have most of them."""
    random = Random(seed)
    names = [f"S{number:04d}-USDT" for number in symbols]
    weights = [1 / (place + 5) for place in range(len(names))]
    next_ids = [random.randrange(1000, 10**9) for _ in names]
    prices = [random.randrange(100, 10**7) for _ in names]
    traded_at_us = T0_US
    for chosen in random.choices(range(len(names)), weights, k=count):
        traded_at_us += random.randrange(2 * span_us // count + 1)
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


def as_sent(in_time: Iterator[Trade], kind: Input, random: Random) -> Iterator[Trade]:
    """The trades as they reach the topic: doubled, out of order and late as this input has it."""
    waiting: list[tuple[int, int, Trade]] = []
    messages = 0
    for trade in in_time:
        while waiting and waiting[0][0] <= trade.received_at_us:
            yield heappop(waiting)[2]
        for _ in range(2 if random.random() < kind.duplicated else 1):
            messages += 1
            delay_us = _delay_us(kind, random)
            if delay_us:
                at_us = trade.received_at_us + delay_us
                delayed = replace(trade, received_at_us=at_us, source="rest")
                heappush(waiting, (at_us, messages, delayed))
            else:
                yield trade
    while waiting:
        yield heappop(waiting)[2]


def partition_of(symbol: str, partitions: int) -> int:
    """The partition that holds a made-up symbol; spread evenly, so that two cores have as much to do."""
    return int(symbol[1:5]) % partitions


def _delay_us(kind: Input, random: Random) -> int:
    chance = random.random()
    if chance < kind.late:
        return random.randrange(3600 * _A_SECOND_US)
    if chance < kind.late + kind.disordered:
        return random.randrange(5 * _A_SECOND_US)
    return 0


def _publish(
    servers: str,
    topic: str,
    messages: int,
    symbols: range,
    kind: Input,
    seed: int,
    partitions: int,
    parquet: Path,
) -> None:
    sender = KafkaProducer(bootstrap_servers=servers, compression_type="zstd", linger_ms=50, batch_size=1 << 17)
    random = Random(seed)
    count = round(messages / (1 + kind.duplicated + kind.poisoned))
    in_time = trades(count, symbols, kind.span_us, seed)
    with pq.ParquetWriter(parquet, _KEPT) as file:
        for trade in as_sent(_keeping(in_time, file), kind, random):
            key = message_key(trade.exchange, trade.symbol)
            partition = partition_of(trade.symbol, partitions)
            sender.send(topic, to_wire(trade), key=key, partition=partition)
            if random.random() < kind.poisoned:
                sender.send(topic, random.randbytes(POISON_BYTES), key=key, partition=partition)
    sender.flush()
    sender.close()


def _keeping(in_time: Iterator[Trade], file: pq.ParquetWriter) -> Iterator[Trade]:
    """The trades, each written to the file as it passes."""
    kept: list[Trade] = []
    for trade in in_time:
        kept.append(trade)
        if len(kept) == _KEPT_AT_ONCE:
            _write(file, kept)
        yield trade
    _write(file, kept)


def _write(file: pq.ParquetWriter, kept: list[Trade]) -> None:
    columns = [
        pa.array(
            [one.taker_side == "buy" if field.name == "buy" else getattr(one, field.name) for one in kept],
            field.type,
        )
        for field in _KEPT
    ]
    file.write_table(pa.table(columns, _KEPT))
    kept.clear()


def main() -> None:
    servers, topic, messages, symbols, name, span_us, share, shares, partitions, parquet = sys.argv[1:]
    own = range(int(share), int(symbols), int(shares))
    count = int(messages) // int(shares)
    kind = replace(INPUTS[name], span_us=int(span_us))
    _publish(servers, topic, count, own, kind, int(share), int(partitions), Path(parquet))


if __name__ == "__main__":
    main()
