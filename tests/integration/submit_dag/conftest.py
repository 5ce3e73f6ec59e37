"""Airflow, a Spark master and a worker, a database and a mailbox, all real, all to be killed."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from local import airflow, cluster, database, provision
from local.airflow import Airflow
from local.airflow_connections import Smtp, Spark
from local.cluster import Cluster
from local.java import Java
from local.ports import free_port

DAG_ID, TASK_ID = "crypto_pipeline_submit_dag", "run_stream"
AIRFLOW_VENV = Path(".state/airflow-venv")
# for what is not claimed to be quick: the machine may be busy
PATIENCE_S = 180


@dataclass
class Service:
    """A process that a test may kill and start again."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    groups: list[int] = field(default_factory=list)  # of all processes that it ever was

    def start(self, wait: bool = True) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
        self.groups.append(self.process.pid)
        if wait:
            self.wait()

    def wait(self, within_s: float = 120) -> None:
        deadline = time.monotonic() + within_s
        while not self.ready():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                end = "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])
                pytest.fail(
                    f"{self.name} is not ready (exit code {self.process.poll()}); its log ends with\n{end}"
                )
            time.sleep(0.2)

    def kill(self) -> None:
        """As the kernel does when memory runs out: the process itself, at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for group in self.groups:  # what a killed one has left behind is in its process group
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


@dataclass(repr=False)
class Stack:
    """All of it, and the questions that the tests ask."""

    folder: Path
    airflow: Airflow
    spark: Cluster
    mailbox_url: str
    services: dict[str, Service]
    most_drivers: int = 0
    _token: str = ""
    _stopped: threading.Event = field(default_factory=threading.Event)

    # Spark, as the operating system and the master see it

    def processes(self) -> set[str]:
        """The ids of drivers of which a process is alive."""
        work_dir = f"{self.spark.folder.resolve()}/work/"
        return {
            word.removeprefix(work_dir).split("/")[0]
            for command in command_lines().values()
            for word in command
            if word.startswith(f"{work_dir}driver-")
        }

    def applications(self) -> list[int]:
        """The process ids of the application in Python."""
        path = str(self.folder / "stream_application.py")
        found = [pid for pid, command in command_lines().items() if "python" in command[0] and path in command[1:]]
        # for a moment, what it starts looks like itself
        return [pid for pid in found if parent(pid) not in (None, *found)]

    def gone(self) -> bool:
        """Whether nothing of any driver is left."""
        return not self.processes() and not self.applications()

    def kill_driver(self, driver_id: str) -> None:
        """With -9, the Java process on its worker."""
        pid = self._java_of(driver_id)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def driver_ids(self) -> list[str]:
        """Those that the master calls active."""
        page = httpx.get(f"{self.spark.master_ui_url}/json/", timeout=10).json()
        return [driver["id"] for driver in page["activedrivers"]]

    def started(self) -> str | None:
        """The id of the one driver that the master calls running and whose application runs; None without one."""
        page = httpx.get(f"{self.spark.master_ui_url}/json/", timeout=10).json()
        running = [str(driver["id"]) for driver in page["activedrivers"] if driver["state"] == "RUNNING"]
        return running[0] if len(running) == 1 and self._application_of(running[0]) else None

    def working(self) -> str | None:
        """The same once its first batch is done, which takes long on a busy machine."""
        driver_id = self.started()
        if driver_id and (self.folder / f"batch-of-{self._application_of(driver_id)}").exists():
            return driver_id
        return None

    def _application_of(self, driver_id: str) -> int | None:
        """The Python process that a driver has started. A dead one's lives on for a moment."""
        java = self._java_of(driver_id)
        return next((pid for pid in self.applications() if java and parent(pid) == java), None)

    def _java_of(self, driver_id: str) -> int | None:
        for pid, command in command_lines().items():
            if any(f"/work/{driver_id}/" in word for word in command):
                return pid
        return None

    # Airflow, as a person sees it

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        if not self._token:
            self._token = self.airflow.api.token()
        answer = httpx.request(
            method,
            f"{self.airflow.url}/api/v2/{path}",
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=30,
            **kwargs,
        )
        assert answer.is_success, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def trigger(self, **params: Any) -> str:
        return self.airflow.api.trigger(DAG_ID, params)

    def task(self, run_id: str) -> dict[str, Any]:
        return dict(self.api("GET", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{TASK_ID}"))

    def is_deferred(self, run_id: str) -> bool:
        return bool(self.task(run_id)["state"] == "deferred")

    def mark_task(self, run_id: str, state: str) -> None:
        self.api("PATCH", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{TASK_ID}", json={"new_state": state})

    def mark_run(self, run_id: str, state: str) -> None:
        self.api("PATCH", f"dags/{DAG_ID}/dagRuns/{run_id}", json={"state": state})

    def clear(self, run_id: str) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [TASK_ID],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.api("POST", f"dags/{DAG_ID}/clearTaskInstances", json=body)

    def log(self, run_id: str, try_number: int) -> str:
        path = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{TASK_ID}/logs/{try_number}"
        return "\n".join(str(line.get("event")) for line in self.api("GET", path)["content"])

    def xcom(self, run_id: str, key: str) -> Any:
        return self.api("GET", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{TASK_ID}/xcomEntries/{key}")[
            "value"
        ]

    def mails(self) -> list[dict[str, Any]]:
        """All mails with their bodies, oldest first."""
        listed = httpx.get(f"{self.mailbox_url}/api/mails").json()
        return [httpx.get(f"{self.mailbox_url}/api/mails/{mail['number']}").json() for mail in reversed(listed)]

    # what the tests begin and end with

    def wait(self, condition: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> float:
        """Waits for the condition; returns after how many seconds it held."""
        started_at = time.monotonic()
        while True:
            try:
                if condition():
                    return time.monotonic() - started_at
            except httpx.TransportError:
                pass
            if time.monotonic() - started_at > within_s:
                pytest.fail(f"not within {within_s:g} s: {what}")
            time.sleep(0.25)

    def finish_runs(self) -> None:
        for run in self.api("GET", f"dags/{DAG_ID}/dagRuns", params={"state": ["queued", "running"]})["dag_runs"]:
            self.mark_run(run["dag_run_id"], "failed")
        self.wait(self.gone, "all drivers gone")
        self.wait(lambda: not self.driver_ids(), "the master knows of no driver")

    def count_drivers(self) -> None:
        """Remembers the most drivers that were ever alive at once."""
        while not self._stopped.wait(0.5):
            self.most_drivers = max(self.most_drivers, len(self.processes()))

    def stop_counting(self) -> None:
        self._stopped.set()


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, java: Java, postgres_server: database.Server
) -> Iterator[Stack]:
    assert (AIRFLOW_VENV / "bin" / "airflow").exists(), (
        "Airflow's environment is missing: make airflow-environment"
    )
    folder = tmp_path_factory.mktemp("submit_dag")
    shutil.copy(Path(__file__).with_name("stream_application.py"), folder)
    (folder / "dags").mkdir()
    shutil.copy(airflow.DAGS_DIR / f"{DAG_ID}.py", folder / "dags")
    shutil.copy(Path(__file__).with_name("reap.py"), folder / "dags")
    ports = [free_port() for _ in range(8)]
    key = secrets.token_urlsafe(32)
    spark = Cluster(folder / "spark", *ports[:4], worker_cores=2, worker_memory="2g", key=key)
    spark_environ = cluster.prepare(spark, java)
    provision.create_database(postgres_server.dsn(), airflow.DATABASE)
    one = Airflow(
        folder=folder / "airflow",
        venv=AIRFLOW_VENV.resolve(),
        metadata_dsn=postgres_server.dsn(airflow.DATABASE),
        crypto_data_dsn=postgres_server.dsn(),
        spark=Spark(
            master_url=spark.master_url,
            rest_port=spark.rest_port,
            key=spark.key,
            ui_url=spark.master_ui_url,
            home=cluster.spark_home(),
            version="4.0.5",
            python=Path(sys.executable),
            application=folder / "stream_application.py",
            conf={
                "spark.driver.memory": "512m",
                "spark.executor.memory": "512m",
                "spark.cores.max": "1",
                "spark.sql.shuffle.partitions": "1",
            },
        ),
        smtp=Smtp("127.0.0.1", ports[4], "airflow@example.org", "ops@example.org"),
        port=ports[5],
        dags_dir=folder / "dags",
    )
    environ = airflow.prepare(one)
    airflow.migrate(one, environ)
    mailbox_url = f"http://127.0.0.1:{ports[6]}"
    mailbox = [sys.executable, "-m", "local.mailbox", str(folder / "mails")]
    services = [
        Service(
            "mailbox",
            [*mailbox, "--port", str(ports[6]), "--smtp-port", str(ports[4])],
            {},
            folder / "mailbox.log",
            lambda: answers(mailbox_url),
        ),
        Service(
            "master",
            cluster.master_command(spark),
            spark_environ,
            folder / "master.log",
            lambda: cluster.master_is_ready(spark),
        ),
        Service(
            "worker",
            cluster.worker_command(spark),
            spark_environ,
            folder / "worker.log",
            lambda: cluster.worker_is_ready(spark),
        ),
        *(
            Service(process.name, process.command, process.environ, folder / f"{process.name}.log", process.ready)
            for process in airflow.processes(one, environ)
        ),
    ]
    running = Stack(folder, one, spark, mailbox_url, {service.name: service for service in services})
    try:
        for service in services:
            service.start(wait=service.name in ("mailbox", "master"))
        for service in services:
            service.wait()
        running.wait(lambda: has_dags(running), "the DAGs are there")
        yield running
    finally:
        for service in reversed(services):
            service.stop()


@pytest.fixture
def clean(stack: Stack) -> Iterator[Stack]:
    """Everything runs, and no driver; afterwards there were never two at once."""
    for service in stack.services.values():
        if service.process is None or service.process.poll() is not None:
            service.start()
    (stack.folder / "crash").unlink(missing_ok=True)
    stack.finish_runs()
    httpx.delete(f"{stack.mailbox_url}/api/mails")
    stack.most_drivers = 0
    stack._stopped.clear()
    counter = threading.Thread(target=stack.count_drivers)
    counter.start()
    try:
        yield stack
        assert stack.most_drivers <= 1
    finally:
        stack.stop_counting()
        counter.join()


@pytest.fixture
def run_id(clean: Stack) -> str:
    """A run whose task is deferred, and whose driver works."""
    run = clean.trigger()
    clean.wait(lambda: clean.is_deferred(run) and clean.working(), "a working driver and a deferred task")
    return run


def has_dags(stack: Stack) -> bool:
    return {DAG_ID, "reap"} == {dag["dag_id"] for dag in stack.api("GET", "dags")["dags"]}


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


def command_lines() -> dict[int, list[str]]:
    """Of all processes, by their ids."""
    found = {}
    for process in psutil.process_iter():  # without attributes: what it notes of them is shared between threads
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if command:
            found[process.pid] = command
    return found


def parent(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return None
