"""One system of containers for all tests here, which build on each other: it takes minutes to start."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from model.containers import ROOT, Containers, bare_environ, copy_project

from local.ports import free_port

PUBLISHED = (
    *("POSTGRES_PORT", "KAFKA_PORT", "SPARK_MASTER_UI_PORT", "AIRFLOW_PORT"),
    *("PGADMIN_PORT", "MAILBOX_PORT", "EXCHANGE_PORT", "PROMETHEUS_PORT"),
)


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots and figures are left for people."""
    folder = ROOT / ".state" / "compose"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Not started yet; at the end nothing is left of it but images."""
    folder = tmp_path_factory.mktemp("project")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    copy_project(folder, listed.stdout.split("\n")[:-1])
    variables = re.findall(r"^([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    ports = {variable: free_port() for variable in PUBLISHED}
    one = Containers(folder, bare_environ(variables), ports=ports)
    one.configure(
        {
            "ACTIVE_SYMBOLS": "binance:TRX-USDT,kucoin:BTC-USDT",
            "EXCHANGE_RATE": "20",
            "EXCHANGE_SPEED": "50",
            "MONITOR_HOLE_GRACE_S": "5",
            "MONITOR_FEED_GRACE_S": "5",
            "AIRFLOW_URL": f"http://127.0.0.1:{ports['AIRFLOW_PORT']}",
        }
    )
    try:
        yield one
    finally:
        one.compose("down", "--volumes", "--remove-orphans")
