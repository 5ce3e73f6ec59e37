"""The DAG itself, run by Airflow: from a loss to the mail that names it, and the one that closes it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg2.extensions import parse_dsn

from local.ports import free_port

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".state" / "airflow-venv" / "bin" / "python"
BINANCE, KUCOIN, BTC, ETH, TRX = "binance", "kucoin", "BTC-USDT", "ETH-USDT", "TRX-USDT"

RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(dag_folder=sys.argv[1]).dags["crypto_pipeline_monitor_dag"]
run = dag.test()
states = sorted((ti.task_id, ti.map_index, str(ti.state)) for ti in run.get_task_instances())
print("RESULT " + json.dumps({"state": str(run.state), "tasks": states, "run_id": run.run_id}))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a DAG run a test, each task a process


class Mailbox:
    """A running mailbox."""

    def __init__(self, smtp_port: int, url: str) -> None:
        self.smtp_port, self.url = smtp_port, url

    def mails(self) -> list[dict[str, Any]]:
        """Oldest first, with their bodies."""
        listed = httpx.get(f"{self.url}/api/mails").json()
        return [httpx.get(f"{self.url}/api/mails/{mail['number']}").json() for mail in reversed(listed)]


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    smtp_port, web_port = free_port(), free_port()
    url = f"http://127.0.0.1:{web_port}"
    command = [sys.executable, "-m", "local.mailbox", str(tmp_path / "mails")]
    process = subprocess.Popen([*command, "--port", str(web_port), "--smtp-port", str(smtp_port)])
    try:
        soon(lambda: _answers(f"{url}/api/mails"))
        yield Mailbox(smtp_port, url)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def monitor(pipeline: Any, mailbox: Mailbox, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs the DAG once, in a process of Airflow's environment; what became of its tasks."""
    known = parse_dsn(pipeline.job.dsn)
    home = tmp_path / "airflow"
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow" / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "airflow" / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API__BASE_URL": "http://airflow.example:8081",
        "AIRFLOW_CONN_CRYPTO_PIPELINE_POSTGRES": json.dumps(
            {
                "conn_type": "postgres",
                "host": known["host"],
                "port": int(known["port"]),
                "login": known["user"],
                "password": known.get("password", ""),
                "schema": known["dbname"],
            }
        ),
        # no master is there: what it says of the driver is then unknown
        "AIRFLOW_CONN_CRYPTO_PIPELINE_SPARK": json.dumps(
            {
                "conn_type": "spark",
                "host": "spark://127.0.0.1",
                "port": 1,
                "password": "k" * 43,
                "extra": {
                    "rest_port": 1,
                    "ui_url": "http://127.0.0.1:1",
                    "spark_home": "/x",
                    "spark_version": "4.0.1",
                    "python": "/x",
                    "application": "/x",
                },
            }
        ),
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(
            {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": mailbox.smtp_port,
                "extra": {
                    "from_email": "pipeline@example.org",
                    "to_email": "ops@example.org",
                    "disable_ssl": True,
                    "disable_tls": True,
                },
            }
        ),
        "BINANCE_REST_URL": pipeline.market.url,
        "KUCOIN_REST_URL": pipeline.market.url,
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.job.servers,
        "KAFKA_TOPIC": pipeline.job.topic,
        "ACTIVE_SYMBOLS": "binance:BTC-USDT,binance:ETH-USDT,binance:TRX-USDT",
        "MONITOR_FEED_GRACE_S": "1",
    }
    migrated = subprocess.run(
        [PYTHON.parent / "airflow", "db", "migrate"], env=environ, capture_output=True, text=True, check=False
    )
    assert migrated.returncode == 0, migrated.stderr[-3000:]

    def run(**changes: str) -> dict[str, Any]:
        done = subprocess.run(
            [PYTHON, "-c", RUN, str(ROOT / "airflow" / "dags")],
            env=environ | changes, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        said = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        assert said, (done.stdout[-3000:], done.stderr[-3000:])
        result: dict[str, Any] = json.loads(said[0].removeprefix("RESULT "))
        (tmp_path / "last.log").write_text(done.stdout + done.stderr)
        return result

    return run


def task_states(result: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task_id, _, state in result["tasks"]:
        found.setdefault(task_id, []).append(state.rpartition(".")[2].lower())
    return found


def test_a_loss_over_three_symbols_is_named_filled_proven_and_closed(
    pipeline: Any, hour: Any, monitor: Any, mailbox: Mailbox
) -> None:
    until = datetime.now(UTC)
    lost = {}
    for symbol in (BTC, ETH, TRX):
        trades = pipeline.trades(BINANCE, symbol, hour[0], until)
        lost[symbol] = trades[100:180]
        pipeline.stream([*trades[:100], *trades[180:]])

    first = monitor()
    assert task_states(first) == {
        "stream": ["success"], "freshness": ["success"], "gaps": ["success"], "fill": ["success"] * 3,
        "verify": ["success"], "tell": ["success"],
    }  # fmt: skip
    holes = [row for row in pipeline.gaps() if row[2] == "hole"]
    assert holes == [
        (BINANCE, symbol, "hole", lost[symbol][0].trade_id, lost[symbol][-1].trade_id, "verified", 1, 80)
        for symbol in (BTC, ETH, TRX)
    ]
    for symbol in (BTC, ETH, TRX):
        assert pipeline.differing_bars(BINANCE, symbol, *hour) == []

    [mail] = mailbox.mails()
    assert mail["subject"].startswith("Crypto pipeline: ")
    for symbol in (BTC, ETH, TRX):
        first_id, last_id = lost[symbol][0].trade_id, lost[symbol][-1].trade_id
        for body in (mail["html"], mail["text"]):
            assert f"hole, ids {first_id} to {last_id} (80)" in body
    assert (
        f"http://airflow.example:8081/dags/crypto_pipeline_monitor_dag/runs/{first['run_id'][:9]}" in mail["text"]
    )

    # the feed delivers again, up to now
    for symbol in (BTC, ETH, TRX):
        pipeline.stream(pipeline.trades(BINANCE, symbol, until - timedelta(minutes=1), datetime.now(UTC)))
    monitor()
    closing = mailbox.mails()[-1]
    assert len(mailbox.mails()) == 2
    assert "over: gap" in closing["subject"]


def test_a_job_that_stands_still_is_told_and_nothing_is_called_lost(
    pipeline: Any, hour: Any, monitor: Any, mailbox: Mailbox
) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream([*trades[:100], *trades[180:400]])
    pipeline.job.running.clear()
    with pipeline.publishing() as publish:
        publish(trades[400:])
    result = monitor(MONITOR_CATCH_UP_S="2")
    assert task_states(result) == {
        "stream": ["success"], "freshness": ["skipped"], "gaps": ["skipped"], "fill": ["skipped"],
        "verify": ["skipped"], "tell": ["success"],
    }  # fmt: skip
    [mail] = mailbox.mails()
    assert mail["subject"] == "Crypto pipeline: 1 new: stream down (stream)"
    assert "messages not read" in mail["text"]
    assert pipeline.gaps() == []


def test_a_mail_that_cannot_be_sent_goes_out_with_the_next_run(
    pipeline: Any, hour: Any, monitor: Any, mailbox: Mailbox
) -> None:
    pipeline.job.running.clear()
    with pipeline.publishing() as publish:
        publish(pipeline.trades(BINANCE, BTC, *hour))
    nowhere = json.dumps(
        {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": 1,
            "extra": {
                "from_email": "a@example.org",
                "to_email": "b@example.org",
                "disable_ssl": True,
                "disable_tls": True,
            },
        }
    )
    failed = monitor(MONITOR_CATCH_UP_S="1", AIRFLOW_CONN_SMTP_DEFAULT=nowhere)
    assert (task_states(failed)["tell"], mailbox.mails()) in ((["failed"], []), (["up_for_retry"], []))
    assert monitor(MONITOR_CATCH_UP_S="1")["state"].lower().endswith("success")
    assert [mail["subject"] for mail in mailbox.mails()] == ["Crypto pipeline: 1 new: stream down (stream)"]


def soon(condition: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
