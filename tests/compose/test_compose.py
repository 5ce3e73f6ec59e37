"""The containers as a whole, brought up for real: bars, repairs, mails, pages, crashes, restarts, an upgrade.

`make test-compose` runs it, in about half an hour on 2 cores. The tests build on each other, in this order.
"""

import json
import logging
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from model import browser, pgadmin
from model.containers import PROJECT, ROOT, Containers, inspect, seconds_since
from model.demo import wait_until
from model.recorded import bars, proven_recorded_bars, recorded_bars
from model.verdict import unsettled_minutes

from local.exchange.faults import Loss

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MONITOR = "crypto_pipeline_monitor_dag"
KEYS = [("binance", "TRX-USDT"), ("kucoin", "BTC-USDT")]
MINUTE = timedelta(minutes=1)
# The simulator last: what it sent is known to it since its start.
KILLED = (
    *("producer", "kafka", "postgres", "spark-master", "spark-worker"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
    *("pgadmin", "mailbox", "prometheus", "simulator"),
)

needs_browser = pytest.mark.skipif(browser.executable() is None, reason="no Chromium on this machine")
_log = logging.getLogger(__name__)


@pytest.mark.parametrize("more", [(), ("-f", "docker-compose.yml", "-f", "docker-compose.scale.yml")])
def test_the_files_are_valid_and_bring_no_warning(containers: Containers, more: tuple[str, ...]) -> None:
    elsewhere = {
        "EXTERNAL_KAFKA": "kafka.example.com:9092",
        "EXTERNAL_POSTGRES_DSN": "postgresql://postgres:x@db.example.com/postgres",
        "EXTERNAL_SPARK_MASTER": "spark://spark.example.com:7077",
        "EXTERNAL_SPARK_KEY": "k" * 43,
    }
    for profiles in ([], ["--profile", "demo"], ["--profile", "demo", "--profile", "metrics"]):
        run = subprocess.run(
            ["docker", "compose", *more, *profiles, "config", "--quiet"],
            cwd=containers.state_dir,
            env={**containers.environ, **elsewhere},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_it_comes_up_and_proves_a_bar(containers: Containers, pictures: Path) -> None:
    containers.compose("build", within_s=1800)
    began = time.monotonic()
    containers.compose("up", "--detach")
    containers.dsn = containers.addresses()["POSTGRES_DSN"]
    proven = "select count(*) from trades_1min_agg where proven_at is not null"
    wait_until(lambda: containers.query(proven)[0][0], 600, "a proven bar")
    figures: dict[str, Any] = {"first_proven_bar_s": seconds_since(began)}
    containers.start()  # waits until all are healthy
    figures["all_healthy_s"] = seconds_since(began)
    figures["memory_mb"] = containers.memory_mb()
    images = {inspect(name)["Config"]["Image"] for name in containers.compose("ps", "--quiet").split()}
    figures["image_mb"] = {image: round(inspect(image)["Size"] / 1e6) for image in sorted(images)}
    (pictures / "figures.json").write_text(json.dumps(figures, indent=1))
    _log.info("%s", figures)


def test_recorded_trades_become_the_exchanges_own_bars_each_proven(containers: Containers) -> None:
    assert proven_recorded_bars(containers, 300) == recorded_bars()


def test_a_loss_is_repaired_and_mailed(containers: Containers) -> None:
    with containers.truth() as truth:
        began = datetime.now(UTC)
        # more than the producer mends unasked
        truth.inject(Loss(exchange="binance", symbols=["TRX-USDT"], count=200))
        wait_until(lambda: truth.faults() == [], 120, "200 trades are lost")
        # a hole's age counts from the end of the minute in which it ends
        counts_at = datetime.now(UTC).replace(second=0, microsecond=0) + MINUTE + timedelta(seconds=8)
        wait_until(lambda: datetime.now(UTC) > counts_at, 80, "the hole is old enough")
        lost = truth.sent("binance", "TRX-USDT").faults["loss"]
        assert containers.run_dag(MONITOR) == "success"
        assert any(f"ids {min(lost)} to " in mail["text"] for mail in containers.mails())
        until = datetime.now(UTC).replace(second=0, microsecond=0)
        wait_until(
            lambda: not unsettled_minutes(containers, truth, [KEYS[0]], began - MINUTE, until),
            180,
            "the bars are whole",
        )


def test_nobody_is_root_and_nothing_but_the_published_ports_listens_outside(containers: Containers) -> None:
    for container in containers.compose("ps", "--quiet").split():
        told = inspect(container)
        user = told["Config"]["User"]
        assert user not in ("", "0", "root"), told["Name"]
        for bindings in told["NetworkSettings"]["Ports"].values():
            assert {one["HostIp"] for one in bindings or []} <= {"127.0.0.1"}


def test_prometheus_has_the_metrics_of_all_and_knows_its_rules(containers: Containers) -> None:
    url = containers.addresses()["PROMETHEUS_URL"]

    def has(query: str) -> bool:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": query}).raise_for_status().json()
        return bool(answer["data"]["result"])

    queries = ["producer_trades_total > 0", "job_proven_bars_total > 0", "metrics_master_aliveWorkers_Value == 1"]
    # Debian builds Prometheus without the receiver of OTLP
    if httpx.post(f"{url}/api/v1/otlp/v1/metrics").status_code != httpx.codes.NOT_FOUND:
        queries.append("airflow_scheduler_heartbeat_total > 0")
    for query in queries:
        wait_until(lambda query=query: has(query), 180, query)  # type: ignore[misc]
    rules = httpx.get(f"{url}/api/v1/rules").raise_for_status().json()["data"]["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}


@needs_browser
def test_pgadmin_shows_the_table(containers: Containers, pictures: Path) -> None:
    with browser.page() as page:
        pgadmin.log_in(page, containers.addresses()["PGADMIN_URL"], containers.login("pgadmin"))
        pgadmin.show_rows(page, "trades_1min_agg", holding="TRX-USDT")
        page.screenshot(pictures / "pgadmin.png")


@needs_browser
def test_airflow_shows_the_running_job(containers: Containers, pictures: Path) -> None:
    url = containers.addresses()["AIRFLOW_URL"]
    with browser.page() as page:
        page.open(url)
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", containers.login("airflow_admin"))
        page.press_enter()
        page.wait_for("!document.querySelector('input[name=password]')", 60)
        page.open(f"{url}/dags/crypto_pipeline_submit_dag")
        page.wait_for("document.body.innerText.includes('run_stream')", 60)
        page.screenshot(pictures / "airflow.png")


@pytest.mark.parametrize("service", KILLED)
def test_a_killed_service_is_started_again(containers: Containers, service: str) -> None:
    containers.kill(service)


def test_after_all_the_kills_every_bar_is_right_and_proven(containers: Containers) -> None:
    settles(containers)


def test_down_and_up_again_goes_on_where_it_was(containers: Containers) -> None:
    before = bars(containers, proven=True)
    containers.compose("down")
    goes_on_from(before, containers)


def test_a_second_worker_and_a_second_producer_are_harmless(containers: Containers) -> None:
    containers.compose("up", "--detach", "--wait", "--scale", "spark-worker=2", "--scale", "producer=2")
    page = httpx.get(f"{containers.addresses()['SPARK_UI_URL']}/json/").raise_for_status().json()
    assert page["aliveworkers"] == 2
    grows(containers)
    settles(containers)
    containers.start()  # back to one of each


def test_an_upgrade_while_trades_flow_loses_none(containers: Containers) -> None:
    began = datetime.now(UTC)
    for name, comment in (
        ("producer/service.py", "#"),
        ("spark_processor/job.py", "#"),
        ("airflow/dags/crypto_pipeline_monitor_dag.py", "#"),
        ("postgres/init/099_version.sql", "--"),
    ):
        with (containers.state_dir / name).open("a") as file:
            file.write(f"\n{comment} upgraded at {began}\n")
    producer_before = containers.containers("producer")
    containers.compose("up", "--detach", "--build", "--wait", "--wait-timeout", "600", within_s=1800)
    assert containers.containers("producer") != producer_before
    grows(containers)
    settles(containers)


def test_a_backup_can_be_restored_as_the_readme_says(containers: Containers) -> None:
    before = bars(containers, proven=True)
    run_shell(containers, readme_commands("pg_dump"))
    run_shell(containers, readme_commands("pg_restore"))
    goes_on_from(before, containers)


def test_without_its_profile_it_refuses_the_demos_trades(containers: Containers) -> None:
    containers.compose("down")
    run = subprocess.run(
        ["docker", "compose", "-p", PROJECT, "up", "--detach", "postgres"],
        cwd=containers.state_dir,
        env=containers.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "trades of two never mix" in containers.compose("logs", "settings")


def test_down_with_volumes_forgets_everything(containers: Containers) -> None:
    containers.compose("down", "--volumes")
    left = subprocess.run(
        ["docker", "volume", "ls", "--quiet", "--filter", f"name={PROJECT}_"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert left.stdout == ""


def goes_on_from(before: Mapping[datetime, tuple[Any, ...]], containers: Containers) -> None:
    """Once started, no proven bar has changed, new trades come, and every bar becomes right."""
    containers.start()
    after = bars(containers, proven=True)
    assert {minute: after.get(minute) for minute in before} == before
    grows(containers)
    settles(containers)


def settles(containers: Containers) -> None:
    """Every bar of the last half hour becomes right and vouched for; the monitor helps, as it does in life."""
    until = datetime.now(UTC).replace(second=0, microsecond=0)
    firsts = containers.query("select min(window_start) from trades_1min_agg group by exchange, symbol")
    # nobody can vouch for the minute in which a symbol's trades began
    since = max(until - 30 * MINUTE, *(first + MINUTE for (first,) in firsts))

    def is_settled() -> bool:
        with containers.truth() as truth:
            if not unsettled_minutes(containers, truth, KEYS, since, until):
                return True
        containers.run_dag(MONITOR, 600)
        return False

    wait_until(is_settled, 900, f"all bars before {until:%H:%M} are right")


def grows(containers: Containers) -> None:
    """New trades come into bars."""
    newest = "select max(last_trade_id) from trades_1min_agg where exchange = 'binance' and symbol = 'TRX-USDT'"
    top = containers.query(newest)
    wait_until(lambda: containers.query(newest) > top, 300, "a new trade")


def readme_commands(holding: str) -> str:
    """The README's one block of commands that holds this."""
    blocks = (ROOT / "README.md").read_text().split("```")[1::2]
    [found] = [block for block in blocks if holding in block]
    return found.partition("\n")[2]


def run_shell(containers: Containers, commands: str) -> None:
    environ = {
        **containers.environ,
        "COMPOSE_PROJECT_NAME": "crypto-pipeline-test",
        "COMPOSE_PROFILES": "demo,metrics",
    }
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=containers.state_dir,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout
