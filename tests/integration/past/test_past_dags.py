"""Both DAGs in a real Airflow: the past is planned, fetched, audited, mended where it is wrong, and told."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import airflow, database, provision
from local.airflow import Airflow
from local.airflow_connections import Smtp, Spark
from local.exchange.launch import Simulator
from local.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # real processes, many of them

AIRFLOW_VENV = Path(".state/airflow-venv")
HISTORY, AUDIT = "crypto_pipeline_history_dag", "crypto_pipeline_audit_dag"
MINUTE = timedelta(minutes=1)
PATIENCE_S = 240


@dataclass(frozen=True)
class Ui:
    """Airflow and the mailbox, as a person sees them."""

    airflow: Airflow
    mailbox_url: str

    def get(self, path: str, **params: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.airflow.api.token()}"}
        answer = httpx.get(f"{self.airflow.url}/api/v2/{path}", headers=headers, params=params, timeout=30)
        assert answer.is_success, (answer.status_code, answer.text)
        return answer.json()

    def run(self, dag_id: str, params: dict[str, Any]) -> str:
        """Triggers a run and waits for its success; its id."""
        run_id = self.airflow.api.trigger(dag_id, params)
        self.wait_for(dag_id, run_id)
        return run_id

    def wait_for(self, dag_id: str, run_id: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (state := self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]) in ("queued", "running"):
            assert time.monotonic() < deadline, (state, self.tasks(dag_id, run_id))
            time.sleep(0.5)
        assert state == "success", self.logs(dag_id, run_id)

    def tasks(self, dag_id: str, run_id: str) -> list[tuple[str, str | None, str]]:
        """Task, name of the instance, state."""
        found = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return sorted((one["task_id"], one["rendered_map_index"], one["state"]) for one in found)

    def logs(self, dag_id: str, run_id: str) -> str:
        folder = self.airflow.folder / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
        return "\n".join(f"{log}\n{log.read_text()[-3000:]}" for log in sorted(folder.rglob("*.log")))

    def mails(self) -> list[dict[str, Any]]:
        """All, oldest first."""
        listed = httpx.get(f"{self.mailbox_url}/api/mails").json()
        return [httpx.get(f"{self.mailbox_url}/api/mails/{mail['number']}").json() for mail in reversed(listed)]


@pytest.fixture
def ui(tmp_path: Path, pipeline: Any, past_exchange: Simulator, postgres_server: database.Server) -> Iterator[Ui]:
    """Airflow with these two DAGs, on the test's own database and topic, with no more rights than it needs."""
    assert (AIRFLOW_VENV / "bin" / "airflow").exists(), (
        "Airflow's environment is missing: make airflow-environment"
    )
    (tmp_path / "dags").mkdir()
    for dag_id in (HISTORY, AUDIT):
        shutil.copy(airflow.DAGS_DIR / f"{dag_id}.py", tmp_path / "dags")
    smtp_port, mailbox_port, port = free_port(), free_port(), free_port()
    metadata = provision.create_database(postgres_server.dsn(), "airflow_past")
    one = Airflow(
        folder=tmp_path / "airflow",
        venv=AIRFLOW_VENV.resolve(),
        metadata_dsn=metadata,
        crypto_data_dsn=provision.create_login(pipeline.dsn, "airflow_tasks", "secret", "crypto_monitor"),
        spark=Spark(  # none is there
            *("spark://127.0.0.1:1", 1, "k" * 43, "http://127.0.0.1:1"),
            *(tmp_path, "4.0.5", tmp_path, tmp_path, {}),
        ),
        smtp=Smtp("127.0.0.1", smtp_port, "airflow@example.org", "ops@example.org"),
        port=port,
        dags_dir=tmp_path / "dags",
    )
    environ = airflow.prepare(one) | {
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.bootstrap_servers,
        "KAFKA_TOPIC": pipeline.topic,
        "BINANCE_REST_URL": past_exchange.url,
        "BINANCE_BULK_URL": past_exchange.url,
        "KUCOIN_REST_URL": past_exchange.url,
        "AUDIT_LOOKBACK_H": "1",  # the hourly run finds nothing of yesterday to audit
    }
    airflow.migrate(one, environ)
    mailbox_url = f"http://127.0.0.1:{mailbox_port}"
    mailbox = [sys.executable, "-m", "local.mailbox", str(tmp_path / "mails"), "--port", str(mailbox_port)]
    with ExitStack() as stack:
        stack.enter_context(process([*mailbox, "--smtp-port", str(smtp_port)], {}, tmp_path / "mailbox.log"))
        ready: list[Callable[[], bool]] = [lambda: httpx.get(mailbox_url).is_success]
        for part in airflow.processes(one, environ):
            stack.enter_context(process(part.command, part.environ, tmp_path / f"{part.name}.log"))
            ready.append(part.ready)
        found = Ui(one, mailbox_url)
        ready.append(lambda: found.get("dags")["total_entries"] == 2)
        deadline = time.monotonic() + PATIENCE_S
        for is_ready in ready:
            while not answers(is_ready):
                assert time.monotonic() < deadline, [log.read_text()[-2000:] for log in tmp_path.glob("*.log")]
                time.sleep(0.5)
        yield found


def test_the_past_is_planned_fetched_and_audited_and_a_wrong_bar_is_mended_and_told(
    ui: Ui, pipeline: Any, stream: Any, hour: tuple[datetime, datetime]
) -> None:
    stream("binance", "BTC-USDT", *hour)
    start = hour[0] - timedelta(hours=11)  # over midnight: two days
    asked = {
        "symbols": ["binance:BTC-USDT"],
        "from": start.isoformat(),
        "to": hour[0].isoformat(),
        "what": "trades",
    }
    run_id = ui.run(HISTORY, asked)
    days = [f"binance:BTC-USDT {day} trades" for day in (start.date(), hour[0].date())]
    assert [(task, label, state) for task, label, state in ui.tasks(HISTORY, run_id) if task == "fill"] == [
        ("fill", day, "success") for day in days
    ]
    (shown,) = ui.get(f"dags/{HISTORY}/dagRuns/{run_id}/hitlDetails")["hitl_details"]
    assert shown["body"].startswith("**")
    assert "| binance:BTC-USDT |" in shown["body"]
    ((bars, proven),) = pipeline.rows(
        "select count(*), count(proven_at) from trades_1min_agg where window_start >= %s and window_start < %s",
        start, hour[0],
    )  # fmt: skip
    assert bars == proven > 500

    (audit_run,) = [
        run["dag_run_id"]
        for run in ui.get(f"dags/{AUDIT}/dagRuns")["dag_runs"]
        if run["conf"].get("symbols") == asked["symbols"]
    ]
    ui.wait_for(AUDIT, audit_run)
    assert ("audit", "binance:BTC-USDT", "success") in ui.tasks(AUDIT, audit_run)
    assert pipeline.rows("select count(*) from bar_differences") == [(0,)]
    assert pipeline.rows("select count(*) from candles_1min") == [(660,)]

    broken = hour[0] + 5 * MINUTE
    pipeline.change("update trades_1min_agg set high = high * 2 where window_start = %s", broken)
    ui.run(AUDIT, {"from": hour[0].isoformat(), "to": (hour[1] - 5 * MINUTE).isoformat(), "certify": True})
    assert pipeline.rows("select field, state, mailed_at is not null from bar_differences") == [
        ("high", "settled", True)
    ]
    assert pipeline.rows(
        "select minutes_proven + minutes_empty, minutes_equal, minutes_repaired, mailed_at is not null "
        "from certificates"
    ) == [(55, 55, 1, True)]
    differing, certificate = ui.mails()
    assert differing["subject"].startswith("Bars that differed from the exchange's candles: mended")
    assert "rebuilt from the trades that the exchange gives over REST" in differing["text"]
    assert certificate["subject"] == (
        f"binance:BTC-USDT on {hour[0].date()}: 55 of 55 minutes proven, 55 equal the exchange, 0 differ"
    )


def answers(is_ready: Callable[[], bool]) -> bool:
    try:
        return is_ready()
    except (httpx.TransportError, AssertionError):
        return False


@contextmanager
def process(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[None]:
    """A process for as long as the context lasts, with all that it starts."""
    with log.open("wb") as output:
        one = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environ}, start_new_session=True
        )
    try:
        yield
    finally:
        one.terminate()
        try:
            one.wait(20)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()
        with suppress(ProcessLookupError):  # what it has left behind is in its process group
            os.killpg(one.pid, signal.SIGKILL)
