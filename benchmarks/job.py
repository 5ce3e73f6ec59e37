"""What the job costs a trade: CPU, throughput, memory, beside Spark's Kafka source into nothing.

    python -m benchmarks.job [--messages 3000000] [--symbols 200] [--runs 2]

Fills a topic of a broker of its own, then lets the source alone and the job read it in turns, each from the
beginning in a new process, the job into a new database. Figures are over the batches after the first, which pays
for the start of Java and Spark. At the end the bars are compared with what DuckDB makes of the same trades.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg2

from benchmarks.servers import CACHE, new_database, running_broker, running_postgres, spark_jars_dir
from benchmarks.usage import Usage
from local.broker import create_topic
from local.java import find_java

TOPIC = "benchmark"
_SHARES = 2


@dataclass(frozen=True)
class Measured:
    """One run. cpu_us, per_s: a message, over the batches after the first."""

    name: str
    cpu_us: float
    per_s: float
    peak_mb: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_broker(folder / "kafka") as servers, running_postgres(folder / "postgres") as dsn:
            _fill(servers, options.messages, options.symbols, folder)
            _say(f"{options.messages:,} messages of {options.symbols} symbols are in Kafka")
            _say(f"{'':8} {'CPU us/trade':>13} {'trades/s':>10} {'MB':>7}")
            measured = []
            for number in range(options.runs):
                measured.append(_show(_source(servers, folder)))
                own = new_database(dsn, f"run_{number}")
                measured.append(_show(_job(servers, own, folder)))
            cpu = {
                name: statistics.median(run.cpu_us for run in measured if run.name == name)
                for name in ("source", "job")
            }
            _say(f"the job takes {cpu['job'] / cpu['source']:.2f} times the CPU of the source")
            wrong, bars = _wrong_bars(own, folder)
            _say(f"{wrong} of {bars} bars are wrong")
    if wrong:
        sys.exit(1)


def _source(servers: str, folder: Path) -> Measured:
    process, usage = _start(["benchmarks.source"], _environ(servers, "", folder))
    output = process.communicate()[0].decode()
    usage.stop()
    batches = [(float(ended), int(count)) for ended, count in (_pair(line) for line in output.splitlines())]
    return _measured("source", batches, usage)


def _job(servers: str, dsn: str, folder: Path) -> Measured:
    process, usage = _start(["spark_processor.job", "--once"], _environ(servers, dsn, folder))
    process.communicate()
    usage.stop()
    if process.returncode:
        raise SystemExit("the job failed")
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("select extract(epoch from committed_at)::float8, messages from batches order by batch_no")
        batches = cursor.fetchall()
    return _measured("job", batches, usage)


def _measured(name: str, batches: list[tuple[float, int]], usage: Usage) -> Measured:
    """batches: when each ended, in seconds since 1970, and how many messages it had."""
    if len(batches) < 2:
        raise SystemExit(f"{name}: only {len(batches)} batches; more --messages are needed")
    (began, _), (ended, _) = batches[0], batches[-1]
    messages = sum(count for _, count in batches[1:])
    cpu_s = usage.cpu_s_at(ended) - usage.cpu_s_at(began)
    return Measured(name, cpu_s / messages * 1e6, messages / (ended - began), usage.peak_mb)


def _wrong_bars(dsn: str, folder: Path) -> tuple[int, int]:
    """How many bars differ from those that DuckDB makes of the trades, and how many there are."""
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
        db.execute((Path(__file__).parent / "expected_bars.sql").read_text())
        wrong = db.execute("select count(distinct (symbol, minute)) from differing").fetchall()[0][0]
        bars = db.execute("select count(*) from expected").fetchall()[0][0]
    return int(wrong), int(bars)


def _fill(servers: str, messages: int, symbols: int, folder: Path) -> None:
    create_topic(servers, TOPIC)
    fillers = [
        subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-m", "benchmarks.messages", servers, TOPIC, str(messages)),
                *(str(symbols), str(share), str(_SHARES), str(folder / f"trades_{share}.parquet")),
            ]
        )
        for share in range(_SHARES)
    ]
    if any(filler.wait() for filler in fillers):
        raise SystemExit("the topic could not be filled")


def _start(module: list[str], environ: dict[str, str]) -> tuple[subprocess.Popen[bytes], Usage]:
    process = subprocess.Popen([sys.executable, "-m", *module], env=environ, stdout=subprocess.PIPE)
    return process, Usage(process.pid)


def _environ(servers: str, dsn: str, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPIC": TOPIC,
        "POSTGRES_DSN": dsn or "unused",
        "JAVA_HOME": str(find_java(CACHE).home),
        "KAFKA_CONNECTOR_DIR": str(spark_jars_dir()),
        "SPARK_MASTER_URL": "local[2]",
        "CHECKPOINT_DIR": str(folder / "checkpoint"),
        "JOB_METRICS_PORT": "0",
        "LOG_LEVEL": "WARNING",
    }


def _pair(line: str) -> tuple[float, float]:
    ended, count = line.strip("[]").split(",")
    return float(ended), float(count)


def _show(measured: Measured) -> Measured:
    _say(f"{measured.name:8} {measured.cpu_us:13.2f} {measured.per_s:10,.0f} {measured.peak_mb:7.0f}")
    return measured


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.job", description=__doc__)
    parser.add_argument("--messages", type=int, default=3_000_000)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--runs", type=int, default=2)
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
