"""The demo as its user starts it, on ports and in a folder of its own."""

import configparser
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
import psutil
import psycopg2
from supervisor.xmlrpc import SupervisorTransport

from crypto_pipeline.submit.master import authorization
from local import leftovers
from local.exchange.control import Control
from local.ports import free_port
from local.provision import changed
from local.settings import DemoSettings

Row = tuple[Any, ...]


@dataclass
class Demo:
    """A demo that can be started and stopped; output: what it printed since it was last started."""

    state_dir: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    dsn: str = ""

    @property
    def output(self) -> str:
        return (self.state_dir.parent / "output").read_text()

    def start(self) -> None:
        with (self.state_dir.parent / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.demo"],
                env=self.environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: "make psql" in self.output or self.has_ended(), 420, "the demo is up")
        assert not self.has_ended(), self.output
        self.dsn = self.addresses()["POSTGRES_DSN"]

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def send(self, number: signal.Signals) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(180)

    def addresses(self) -> dict[str, str]:
        """What `make env` prints, with the database's own port: past what may stand in front of it."""
        run = subprocess.run(
            [sys.executable, "-m", "local.env"], env=self.environ, capture_output=True, text=True, check=False
        )
        told = dict(word.split("=", 1) for word in shlex.split(run.stdout))
        own_port = self.environ["POSTGRES_PORT"]
        return {
            name: changed(value, port=own_port) if name.endswith("_DSN") else value for name, value in told.items()
        }

    def submissions(self) -> httpx.Client:
        """To the Spark master's server for submissions, with the key to it."""
        [passwords] = self.state_dir.glob("*/passwords.json")
        key = json.loads(passwords.read_text())["spark"]
        return httpx.Client(
            base_url=f"{self.addresses()['SPARK_REST_URL']}/v1/submissions/",
            headers={"Authorization": authorization(key)},
            timeout=60,
        )

    def query(self, statement: str, *values: object, dsn: str | None = None) -> list[Row]:
        connection = psycopg2.connect(dsn or self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall()
        finally:
            connection.close()

    def truth(self) -> Control:
        """The simulated exchange's control, which also knows what it traded."""
        return Control(f"http://127.0.0.1:{self.environ['EXCHANGE_PORT']}")

    def supervise(self, action: Literal["stop", "start"], program: str) -> None:
        """Stops or starts one of the demo's programs."""
        with self._supervisor() as supervisor:
            getattr(supervisor, f"{action}Process")(program)

    def programs(self) -> dict[str, tuple[str, int]]:
        """What supervisord says of each of the demo's programs: its state, and its process id or 0."""
        with self._supervisor() as supervisor:
            return {info["name"]: (info["statename"], info["pid"]) for info in supervisor.getAllProcessInfo()}

    def processes(self) -> list[psutil.Process]:
        """All processes of the running demo, its own too."""
        assert self.process is not None
        return [psutil.Process(self.process.pid), *leftovers.find(self.state_dir)]

    def run_dag(self, dag_id: str, within_s: float = 300, **params: Any) -> str:
        """Triggers a DAG and waits for the end of its run; its state."""
        runs = f"/dags/{dag_id}/dagRuns"
        ended: list[str] = []
        with self.airflow() as airflow:
            told = airflow.post(runs, json={"logical_date": None, "conf": params}).raise_for_status().json()
            run = f"{runs}/{quote(told['dag_run_id'], safe='')}"

            def has_ended() -> bool:
                state = airflow.get(run).raise_for_status().json()["state"]
                ended[:] = [state] if state in ("success", "failed") else []
                return bool(ended)

            wait_until(has_ended, within_s, f"the end of a run of {dag_id}")
        return ended[0]

    def mails(self) -> list[dict[str, Any]]:
        """What the mailbox has, oldest first, with bodies."""
        url = f"{self.addresses()['MAILBOX_URL']}/api/mails"
        return [httpx.get(f"{url}/{mail['number']}").json() for mail in reversed(httpx.get(url).json())]

    @contextmanager
    def _supervisor(self) -> Iterator[Any]:
        [told] = self.state_dir.glob("*/supervisord.conf")
        settings = configparser.RawConfigParser()
        settings.read(told)
        transport = SupervisorTransport(None, None, f"unix://{settings['unix_http_server']['file']}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport) as proxy:
            yield proxy.supervisor

    def airflow(self) -> httpx.Client:
        """A client of Airflow's REST interface, logged in."""
        addresses = self.addresses()
        login = {"username": "admin", "password": addresses["AIRFLOW_ADMIN_PASSWORD"]}
        url = addresses["AIRFLOW_URL"]
        token = httpx.post(f"{url}/auth/token", json=login, timeout=60).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"{url}/api/v2", headers=headers, timeout=60)


@contextmanager
def fresh_demo(folder: Path, cache_dir: Path, **variables: str) -> Iterator[Demo]:
    """A demo with these variables in an empty folder, not started yet; at the end nothing is left of it."""
    mine = [name.upper() for name in DemoSettings.model_fields]
    environ = {
        **{name: value for name, value in os.environ.items() if name not in mine},
        **{variable: str(free_port()) for variable in DemoSettings().ports()},
        "DEMO_STATE_DIR": str(folder / "state"),
        "CACHE_DIR": str(cache_dir),
        **variables,
    }
    one = Demo(folder / "state", environ)
    try:
        yield one
    finally:
        if not one.has_ended() and one.process is not None:
            one.send(signal.SIGINT)
        subprocess.run([sys.executable, "-m", "local.clean"], env=environ, check=True)


def wait_until(condition: Callable[[], object], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.5)
