"""What somebody might put into the topic to break the job, its tables or its memory, among good trades."""

import json
from random import Random
from typing import Any

import pytest
from kafka import KafkaProducer
from model import reference
from model.market import TRADE
from model.world import World, series

from local.broker import PARTITIONS
from producer.trade import message_key, to_wire

KEPT_BYTES = 16_384  # of a rejected message's key and value
LARGEST_BYTES = 1_048_588 - 61 - 11  # the broker's default bound of a batch, less what frames one message in it
SQL = "'); drop table trades_1min_agg cascade; delete from coverage; --"


def changed(**fields: object) -> bytes:
    return json.dumps(json.loads(to_wire(TRADE)) | fields, separators=(",", ":"), ensure_ascii=False).encode()


def spelled(field: str, literal: bytes) -> bytes:
    """The trade with something in a field's place that no JSON writer makes."""
    return changed(**{field: "@"}).replace(b'"@"', literal)


# each by the reason that it must be rejected with
HOSTILE: dict[str, bytes] = {
    # SQL, and what ends a line, a field or a COPY
    f"symbol malformed: {SQL[:60]!a}": changed(symbol=SQL),
    f"symbol malformed: {f'BTC-USDT{SQL}'[:60]!a}": changed(symbol=f"BTC-USDT{SQL}"),
    r"symbol malformed: '\\.'": changed(symbol="\\."),
    r"symbol malformed: '\n\\.\n'": changed(symbol="\n\\.\n"),
    'symbol malformed: \'"BTC","USDT"\\r\\n\'': changed(symbol='"BTC","USDT"\r\n'),
    "symbol malformed: '%s-%(topic)s'": changed(symbol="%s-%(topic)s"),
    f"unknown exchange {SQL[:40]!a}": changed(exchange=SQL),
    f"taker_side malformed: {SQL[:20]!a}": changed(taker_side=SQL),
    f"price malformed: {SQL[:60]!a}": changed(price=SQL),
    # NULs and bytes that are no text
    r"symbol malformed: 'BTC\x00-USDT'": changed(symbol="BTC\0-USDT"),
    r"source malformed: 'ws\x00'": changed(source="ws\0"),
    "not JSON": to_wire(TRADE) + b"\0",
    "not JSON: not UTF-8": spelled("symbol", b'"BTC\xff-USDT"'),
    r"symbol malformed: '\ud800-USDT'": spelled("symbol", rb'"\ud800-USDT"'),
    # depth
    "not JSON: nested deeper than 64 levels": spelled("source", b'{"a":[' * 1000 + b"]}" * 1000),
    # numbers
    "price malformed: '1e999999999'": changed(price="1e999999999"),
    "price malformed: '1E-999999999'": changed(price="1E-999999999"),
    f"price malformed: '{'9' * 60}'": changed(price="9" * 16_000),
    f"quantity malformed: '0.{'0' * 58}'": changed(quantity="0." + "0" * 16_000),
    "price of the wrong type": spelled("price", b"1e400"),
    "trade_id of the wrong type": spelled("trade_id", b"1e999999999"),
    "not JSON: a number of too many digits": spelled("trade_id", b"9" * 16_000),
    "trade_id out of range: a number of 4983 bits": spelled("trade_id", b"9" * 1500),
    "received_at_us out of range: a number of 3322 bits": spelled("received_at_us", b"9" * 1000),
    "quantity malformed: 'NaN'": changed(quantity="NaN"),
    "not JSON: Infinity": spelled("quantity", b"Infinity"),
}


@pytest.mark.usefixtures("job")
def test_each_hostile_message_is_rejected_once_with_its_reason_and_the_trades_around_are_counted(
    world: World,
) -> None:
    tables = names_of_tables(world)
    good = series("AMONG-USDT", 1, len(HOSTILE))
    offsets = []
    for trade, value in zip(good, HOSTILE.values(), strict=True):
        # a key is nobody's business: what it says of the symbol is not read
        world.publish([to_wire(trade)], partition=1, key=SQL.encode())
        offsets += world.publish([value], partition=1, key=b"\0\xff" + SQL.encode())
    world.processed()
    expected = [
        (offset, b"\0\xff" + SQL.encode(), value[:KEPT_BYTES], reason)
        for offset, (reason, value) in zip(offsets, HOSTILE.items(), strict=True)
    ]
    assert rejected(world, partition=1) == expected
    assert world.bars("binance", "AMONG-USDT") == reference.bars(good)
    assert world.seen("binance", "AMONG-USDT") == f"{{[1,{len(good) + 1})}}"
    assert names_of_tables(world) == tables

    world.jobs[-1].stop()
    assert world.start("--replay", "--once").process.wait(120) == 0
    assert rejected(world, partition=1) == expected
    assert world.bars("binance", "AMONG-USDT") == reference.bars(good)


@pytest.mark.usefixtures("job")
def test_messages_as_large_as_the_broker_takes_are_rejected_and_their_beginning_is_kept(world: World) -> None:
    sender = KafkaProducer(bootstrap_servers=world.bootstrap_servers, max_request_size=2 * LARGEST_BYTES)
    good = series("BESIDE-USDT", 1, 20)
    key = message_key("binance", "BESIDE-USDT")
    for number, trade in enumerate(good):
        world.publish([to_wire(trade)], partition=2, key=key)
        sender.send(world.topic, bytes([number]) * LARGEST_BYTES, partition=2).get(30)
    large_key = b"k" * (LARGEST_BYTES - 10)
    sender.send(world.topic, b"x", key=large_key, partition=2).get(30)
    sender.close()
    world.processed()
    found = rejected(world, partition=2)
    assert {(len(value), reason) for _, key, value, reason in found if key is None} == {
        (KEPT_BYTES, "longer than 16384 bytes")
    }
    assert found[-1][1:] == (large_key[:KEPT_BYTES], b"x", "not JSON")
    assert len(found) == 20 + 1
    assert world.bars("binance", "BESIDE-USDT") == reference.bars(good)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_flood_of_large_messages_ends_no_job(world: World) -> None:
    """More in one batch than the job has memory for: 2.5 GB."""
    for job in world.jobs:
        if job.process.poll() is None:
            job.stop()
    good = series("FLOODED-USDT", 1, 100)
    sender = KafkaProducer(bootstrap_servers=world.bootstrap_servers, linger_ms=5)
    flood = Random(1).randbytes(1_000_000)
    for number, trade in enumerate(good):
        partition = number % PARTITIONS
        world.send([trade], partition)
        for _ in range(25):
            sender.send(world.topic, flood, partition=partition)
        sender.flush()  # kafka-python would hold all of it
    sender.close()
    before = total(world, "rejected")
    world.start()
    world.processed(300)
    assert total(world, "rejected") - before == 2500
    assert world.bars("binance", "FLOODED-USDT") == reference.bars(good)
    assert world.jobs[-1].stop() == 0


def rejected(world: World, partition: int) -> list[tuple[Any, ...]]:
    rows = world.query(
        'select "offset", key, value, reason from rejected_messages where "partition" = %s order by "offset"',
        partition,
    )
    return [(offset, key and bytes(key), bytes(value), reason) for offset, key, value, reason in rows]


def total(world: World, count: str) -> int:
    [(found,)] = world.query(f"select coalesce(sum({count}), 0) from batches")  # noqa: S608 - a name of this file
    return int(found)


def names_of_tables(world: World) -> list[Any]:
    return world.query("select schemaname, tablename from pg_tables where schemaname = 'public' order by 1, 2")
