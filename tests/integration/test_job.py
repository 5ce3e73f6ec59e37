"""The job as it runs: Spark, a real broker, a real Postgres, and what may happen to them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from random import Random

import httpx
import psutil
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from model import market, reference
from model.market import T0_US, TRADE
from model.world import Job, World, series, wait_until

from producer.trade import to_wire

HOUR_US = 3_600_000_000


@pytest.mark.usefixtures("job")
def test_duplicates_disorder_and_trades_hours_late_change_no_bar(world: World) -> None:
    random = Random(7)
    trades = series("DISORDER-USDT", 1, 600, every_us=20_000_000)  # over three hours
    held_back, prompt = trades[100:160], trades[:100] + trades[160:]
    shuffled = sorted(prompt * 2, key=lambda trade: trade.trade_id + random.uniform(0, 200))
    world.send(shuffled[:500])
    world.processed()
    world.send(shuffled[500:])
    world.processed()
    assert world.seen("binance", "DISORDER-USDT") == "{[1,101),[161,601)}"
    late = [replace(trade, source="rest", received_at_us=trade.traded_at_us + 5 * HOUR_US) for trade in held_back]
    world.send(late)
    world.processed()
    assert world.bars("binance", "DISORDER-USDT") == reference.bars(trades)
    assert world.seen("binance", "DISORDER-USDT") == "{[1,601)}"
    proven = world.query("select count(proven_at), count(*) from trades_1min_agg where symbol = 'DISORDER-USDT'")
    assert proven == [(199, 201)]  # all but the first and the last


@pytest.mark.usefixtures("job")
def test_a_symbol_over_two_partitions_is_counted_once(world: World) -> None:
    trades = series("SPREAD-USDT", 1, 200)
    for partition, part in ((0, trades[::2] + trades[50:70]), (5, trades[1::2] + trades[60:80])):
        world.producer.flush()
        world.send(part, partition)
    world.processed()
    assert world.bars("binance", "SPREAD-USDT") == reference.bars(trades)


@pytest.mark.usefixtures("job")
def test_every_message_that_is_no_trade_is_kept_with_its_place_and_reason(world: World) -> None:
    bad = market.no_trades("binance", "BTC-USDT")
    known = replace(TRADE, symbol="JUMP-USDT")
    world.send([known])
    world.processed()
    bad["trade_id more than 1000000000 above the symbol's top 1: 2000000000"] = to_wire(
        replace(known, trade_id=2 * 10**9)
    )
    offsets = world.publish(list(bad.values()), partition=2, key=b"a\0key")
    world.processed()
    found = world.query(
        """select "offset", key, value, reason from rejected_messages where topic = %s and "partition" = 2
           order by "offset" """,
        world.topic,
    )
    assert [(o, bytes(k), None if v is None else bytes(v), r) for o, k, v, r in found] == [
        (offset, b"a\0key", value, reason) for offset, (reason, value) in zip(offsets, bad.items(), strict=True)
    ]


@pytest.mark.usefixtures("job")
def test_ids_that_really_jumped_are_taken_once_wanted_is_opened_there(world: World) -> None:
    before = replace(TRADE, symbol="LEAP-USDT")
    after = replace(before, trade_id=5 * 10**9, traded_at_us=T0_US + 60_000_000, received_at_us=T0_US + 60_000_000)
    world.send([before])
    world.processed()
    world.query("select open_wanted('binance', 'LEAP-USDT', %s)", 5 * 10**9)
    world.send([after])
    world.processed()
    assert world.bars("binance", "LEAP-USDT") == reference.bars([before, after])
    assert world.query("select seen::text, wanted::text from coverage where symbol = 'LEAP-USDT'") == [
        ("{[1,2),[5000000000,5000000001)}", "{[1,2),[5000000000,)}")
    ]


@pytest.mark.usefixtures("job")
def test_where_two_messages_contradict_each_other_the_first_stands(world: World) -> None:
    trades = series("CONTRARY-USDT", 1, 3)
    world.send(trades)
    world.processed()
    world.send([replace(trade, price=Decimal(9)) for trade in trades])
    other = replace(TRADE, symbol="CONTRARY-USDT", exchange="kucoin", trade_id=20)
    world.send([other, replace(other, trade_id=30, prev_trade_id=10)], partition=1)
    world.processed()
    assert world.bars("binance", "CONTRARY-USDT") == reference.bars(trades)
    assert world.bars("kucoin", "CONTRARY-USDT") == reference.bars([other, replace(other, trade_id=30)])
    assert world.seen("kucoin", "CONTRARY-USDT") == "{[11,31)}"
    assert world.query("select max(contradictions) from batches") == [(1,)]


def test_its_counts_and_lags_are_metrics(world: World, job: Job) -> None:
    world.send(series("METRICS-USDT", 1, 5))
    world.processed()

    def shown() -> bool:
        lines = httpx.get(job.metrics_url).text.splitlines()
        return any(line.startswith('job_messages_total{outcome="trades"} ') for line in lines)

    wait_until(shown, 10, "trades in the metrics")
    names = {line.split("{")[0].split(" ")[0] for line in httpx.get(job.metrics_url).text.splitlines()}
    assert names >= {
        *("job_messages_total", "job_batch_seconds_count", "job_lag_seconds", "job_lag_messages"),
        *("job_contradictions_total", "job_time_falls_total", "job_input_messages_per_second"),
    }


def test_a_database_that_is_away_is_waited_for(world: World, job: Job) -> None:
    trades = series("AWAY-USDT", 1, 50)
    world.network.cut()
    world.send(trades)
    wait_until(lambda: "the database is away" in job.log.read_text(errors="replace"), 60, "a warning", job.log)
    world.network.mend()
    world.processed()
    assert world.bars("binance", "AWAY-USDT") == reference.bars(trades)


def test_what_the_broker_dropped_is_a_hole_and_the_job_goes_on(world: World, job: Job) -> None:
    trades = series("DROPPED-USDT", 1, 20)
    world.send(trades[:5], partition=4)
    world.processed()
    job.everything(psutil.Process.suspend)
    offsets = world.send(trades[5:], partition=4)
    admin = KafkaAdminClient(bootstrap_servers=world.bootstrap_servers)
    admin.delete_records({TopicPartition(world.topic, 4): offsets[10]})
    admin.close()
    job.everything(psutil.Process.resume)
    world.processed()
    assert world.seen("binance", "DROPPED-USDT") == "{[1,6),[16,21)}"
    missing = world.query("select missing_ids('binance', 'DROPPED-USDT', to_timestamp(0), now())::text")
    assert missing == [("{[6,16)}",)]


@pytest.mark.timeout(900)
def test_jobs_that_are_killed_stopped_doubled_and_replayed_change_no_bar(world: World, job: Job) -> None:
    trades = series("KILLED-USDT", 1, 3000, every_us=300_000)

    # killed between a batch and the next look
    batches = world.query("select max(batch_no) from batches")
    world.send(trades[:1000])
    wait_until(lambda: world.query("select max(batch_no) from batches") != batches, 90, "a batch", job.log)
    job.everything(psutil.Process.kill)
    job.process.wait()
    world.send(trades[900:1500])

    second = world.start()
    world.processed()
    assert world.bars("binance", "KILLED-USDT") == reference.bars(trades[:1500])

    # stopped while it holds the lock: another one takes over
    world.send(trades[1500:2000])
    wait_until(lambda: world.query(LOCKED)[0][0], 60, "a batch in progress", second.log)
    second.everything(psutil.Process.suspend)
    world.send(trades[1900:2500])
    third = world.start()
    world.processed()
    assert world.bars("binance", "KILLED-USDT") == reference.bars(trades[:2500])

    # and comes back: two at once
    second.everything(psutil.Process.resume)
    for begin in range(2500, 3000, 100):
        world.send(trades[begin : begin + 100])
    world.processed()
    assert [second.stop(), third.stop()] == [0, 0]
    assert world.bars("binance", "KILLED-USDT") == reference.bars(trades)
    assert world.seen("binance", "KILLED-USDT") == "{[1,3001)}"

    before = world.everything()
    last_batch = world.query("select max(batch_no) from batches")[0][0]
    replay = world.start("--replay", "--once")
    assert replay.process.wait(120) == 0
    read = world.query("select sum(messages) from batches where batch_no > %s", last_batch)
    assert read == [(world.in_the_topic(),)]
    assert world.everything() == before


def test_the_mark_of_a_transaction_at_the_end_of_the_topic_is_passed(world: World) -> None:
    job = world.start()
    producer = KafkaProducer(bootstrap_servers=world.bootstrap_servers, transactional_id="job_of_the_tests")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(world.topic, b"no trade", partition=4)
    producer.commit_transaction()
    producer.close()
    world.processed()
    assert job.stop() == 0


@pytest.mark.timeout(900)
def test_a_job_whose_spark_hangs_ends_and_the_next_one_goes_on(world: World) -> None:
    trades = series("HUNG-USDT", 1, 200)
    hung = world.start(SPARK_PATIENCE_S="40")  # more than a first batch takes
    world.send(trades[:100])
    world.processed()
    with _suspended(hung):
        world.send(trades[100:])
        assert hung.process.wait(120) == 1
    assert "Spark does not finish a batch" in hung.log.read_text(errors="replace")
    after = world.start()
    world.processed()
    assert after.stop() == 0
    assert world.bars("binance", "HUNG-USDT") == reference.bars(trades)


def test_a_job_that_is_told_to_stop_does_not_wait_for_its_tasks(world: World) -> None:
    job = world.start()
    world.send(series("STOPPED-USDT", 1, 100))
    world.processed()
    with _suspended(job):
        world.send(series("STOPPED-USDT", 101, 200))
        time.sleep(3)  # so that a batch has begun
        job.process.terminate()
        assert job.process.wait(40) == 0
    assert "stopped without waiting for Spark" in job.log.read_text(errors="replace")


@contextmanager
def _suspended(job: Job) -> Iterator[None]:
    """Its tasks do not go on for as long as the context lasts; nor after it."""
    family = psutil.Process(job.process.pid).children(recursive=True)
    workers = [one for one in family if _is_python_worker(one)]
    for worker in workers:
        worker.suspend()
    try:
        yield
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()


def _is_python_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it ended meanwhile
        return "spark_processor.daemon" in process.cmdline()
    return False


LOCKED = """
    select exists (select from pg_locks where locktype = 'advisory' and granted and objid = 4711
                   and database = (select oid from pg_database where datname = current_database()))
"""
