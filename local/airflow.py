"""Airflow on this machine: its settings as environment variables, and its processes.

It lives in an environment of its own (`requirements/airflow.txt`) and is configured by its environment alone:
there is nothing to click, and no airflow.cfg to edit.
https://airflow.apache.org/docs/apache-airflow/stable/configurations-ref.html
"""

import base64
import ipaddress
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from psycopg2.extensions import parse_dsn

from local.provision import changed

DATABASE = "airflow"
DEFAULT_PASSWORD = "admin"  # noqa: S105 - of a server that only this machine reaches
POOL_SIZE = 5  # connections to the database of each process: Postgres takes 60 in all

DAGS_DIR = Path(__file__).parent.parent / "airflow" / "dags"
PLUGINS_DIR = DAGS_DIR.with_name("plugins")

_SECRETS = ("api_secret_key", "fernet_key", "jwt_secret")


class AirflowRefused(ValueError):
    """A setting is dangerous; the message names the variable."""


class AirflowBroken(RuntimeError):
    """Airflow's database could not be made ready; the message holds what Airflow said."""


@dataclass(frozen=True, slots=True)
class Spark:
    """The cluster that runs the job, as airflow/plugins/crypto_pipeline/submit/connection.py takes it.

    master_url: `spark://HOST:PORT`. rest_port: of its submissions, key: to them. ui_url: of its page.
    home, version: of Spark on the workers. python, application: paths on the workers.
    conf: Spark properties of the job: memory, cores, jars.
    """

    master_url: str
    rest_port: int
    key: str = field(repr=False)
    ui_url: str
    home: Path
    version: str
    python: Path
    application: Path
    conf: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Smtp:
    """Who takes the mails: a server without encryption, as the local mailbox is. mail_to: with commas."""

    host: str
    port: int
    mail_from: str
    mail_to: str


@dataclass(frozen=True, slots=True)
class Airflow:
    """One installation.

    folder: of its secrets and logs. venv: of its own Python environment.
    host, port: of its pages. admin_password: of the user `admin`.
    metadata_dsn: of its own database. crypto_data_dsn: of the pipeline's, for the DAGs.
    parallelism: tasks that run at a time; each waiting worker takes memory.
    """

    folder: Path
    venv: Path
    metadata_dsn: str
    crypto_data_dsn: str
    spark: Spark
    smtp: Smtp
    host: str = "127.0.0.1"
    port: int = 8081
    admin_password: str = DEFAULT_PASSWORD
    parallelism: int = 4
    dags_dir: Path = DAGS_DIR
    plugins_dir: Path = PLUGINS_DIR

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Process:
    """One of Airflow's processes: runs in the foreground, logs to its standard output, SIGTERM ends it."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    ready: Callable[[], bool] = field(compare=False)
    ready_within_s: float = 300


def prepare(airflow: Airflow) -> dict[str, str]:
    """Makes secrets and password file, each once; returns the variables that every process of Airflow needs.

    Raises AirflowRefused where the default password would be reachable from other machines.
    """
    if airflow.admin_password == DEFAULT_PASSWORD and not _is_loopback(airflow.host):
        raise AirflowRefused(
            f"AIRFLOW_ADMIN_PASSWORD is the default, and Airflow is to listen on {airflow.host}, which other "
            "machines reach: set another password"
        )
    airflow.folder.mkdir(parents=True, exist_ok=True)
    passwords = airflow.folder / "passwords.json"
    _write_secret(passwords, json.dumps({"admin": airflow.admin_password}))
    keys = _keys(airflow.folder / "keys.json")
    settings = {
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): airflow.parallelism,
        ("core", "dags_folder"): airflow.dags_dir,
        ("core", "plugins_folder"): airflow.plugins_dir,
        ("core", "load_examples"): False,
        ("core", "dags_are_paused_at_creation"): False,
        ("core", "fernet_key"): keys["fernet_key"],
        ("core", "execution_api_server_url"): f"{airflow.url}/execution/",
        ("core", "simple_auth_manager_users"): "admin:admin",
        ("core", "simple_auth_manager_passwords_file"): passwords,
        ("database", "sql_alchemy_conn"): _sqlalchemy_url(airflow.metadata_dsn),
        ("database", "sql_alchemy_pool_size"): POOL_SIZE,
        ("database", "sql_alchemy_max_overflow"): POOL_SIZE,
        ("logging", "base_log_folder"): airflow.folder / "logs",
        ("api", "host"): airflow.host,
        ("api", "port"): airflow.port,
        ("api", "workers"): 1,
        ("api", "base_url"): airflow.url,  # or the links in mails say localhost:8080
        ("api", "instance_name"): "Crypto pipeline",
        ("api", "secret_key"): keys["api_secret_key"],
        ("api_auth", "jwt_secret"): keys["jwt_secret"],
        # After 10 s without a triggerer's heartbeat another one, or the same come back, follows its drivers.
        ("triggerer", "job_heartbeat_sec"): 2,
        ("triggerer", "triggerer_health_check_threshold"): 10,
        # A task that has ended, or was marked by hand while it ran, is noticed within a second, not five.
        ("workers", "min_heartbeat_interval"): 1,
        # A task whose process was killed is tried again after a minute, not after five.
        ("scheduler", "task_instance_heartbeat_timeout"): 60,
        ("scheduler", "task_instance_heartbeat_timeout_detection_interval"): 5,
        ("scheduler", "orphaned_tasks_check_interval"): 30,
        # The id of a driver that runs for months lies there; by default it is forgotten after 30 days.
        ("state_store", "default_retention_days"): 0,
        ("dag_processor", "parsing_processes"): 1,
        ("dag_processor", "min_file_process_interval"): 60,
    }
    return {
        "AIRFLOW_HOME": str(airflow.folder),
        **{f"AIRFLOW__{section}__{key}".upper(): str(value) for (section, key), value in settings.items()},
        **{f"AIRFLOW_CONN_{name}".upper(): json.dumps(value) for name, value in _connections(airflow).items()},
        # Airflow starts programs of its own by name
        "PATH": f"{airflow.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def migrate(airflow: Airflow, environ: Mapping[str, str]) -> None:
    """Brings the tables of the metadata database, which must exist, to this version. Raises AirflowBroken."""
    run = subprocess.run(
        [_program(airflow), "db", "migrate"],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    if run.returncode != 0:
        raise AirflowBroken(f"airflow db migrate: {run.stdout[-4000:]}")


def processes(airflow: Airflow, environ: Mapping[str, str]) -> list[Process]:
    """What must run, in this order; environ: what `prepare` returned.

    Scheduler, triggerer and DAG processor end when the database goes away, and are to be started again.
    """
    return [
        Process(
            "api-server", [_program(airflow), "api-server"], environ, lambda: "metadatabase" in health(airflow)
        ),
        # all read the logs from the same folder, so no process needs to serve its own
        Process(
            "scheduler",
            [_program(airflow), "scheduler", "--skip-serve-logs"],
            environ,
            lambda: health(airflow).get("scheduler") == "healthy",
        ),
        Process(
            "dag-processor",
            [_program(airflow), "dag-processor"],
            environ,
            lambda: health(airflow).get("dag_processor") == "healthy",
        ),
        Process(
            "triggerer",
            [_program(airflow), "triggerer", "--skip-serve-logs"],
            environ,
            lambda: health(airflow).get("triggerer") == "healthy",
        ),
    ]


def health(airflow: Airflow) -> dict[str, str]:
    """The state of each part, `healthy` or not, as the API server sees it; empty where that does not answer."""
    try:
        answer = httpx.get(f"{airflow.url}/api/v2/monitor/health", timeout=10).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return {}
    return {name: str(part["status"]) for name, part in answer.items() if part}


def token(airflow: Airflow) -> str:
    """A bearer token of the user `admin` for `/api/v2`. Raises httpx.HTTPError."""
    login = {"username": "admin", "password": airflow.admin_password}
    answer = httpx.post(f"{airflow.url}/auth/token", json=login, timeout=30).raise_for_status()
    return str(answer.json()["access_token"])


def trigger(airflow: Airflow, dag_id: str, params: Mapping[str, Any] | None = None) -> str:
    """Triggers a DAG and returns the id of its run. Raises httpx.HTTPError, also where there is no such DAG."""
    answer = httpx.post(
        f"{airflow.url}/api/v2/dags/{dag_id}/dagRuns",
        json={"logical_date": None, "conf": dict(params or {})},
        headers={"Authorization": f"Bearer {token(airflow)}"},
        timeout=30,
    ).raise_for_status()
    return str(answer.json()["dag_run_id"])


def has_active_run(airflow: Airflow, dag_id: str) -> bool:
    """Whether a run of the DAG is queued or runs: what to ask before triggering one. Raises httpx.HTTPError."""
    answer = httpx.get(
        f"{airflow.url}/api/v2/dags/{dag_id}/dagRuns",
        params={"state": ["queued", "running"], "limit": 1},
        headers={"Authorization": f"Bearer {token(airflow)}"},
        timeout=30,
    ).raise_for_status()
    return bool(answer.json()["total_entries"])


def _connections(airflow: Airflow) -> dict[str, dict[str, Any]]:
    spark, smtp, database = airflow.spark, airflow.smtp, parse_dsn(airflow.crypto_data_dsn)
    host, _, port = spark.master_url.removeprefix("spark://").partition(":")
    return {
        "crypto_pipeline_postgres": {
            "conn_type": "postgres",
            "host": database["host"],
            "port": int(database.get("port", 5432)),
            "login": database["user"],
            "password": database.get("password", ""),
            "schema": database["dbname"],
        },
        "crypto_pipeline_spark": {
            "conn_type": "spark",
            "host": f"spark://{host}",
            "port": int(port),
            "password": spark.key,
            "extra": {
                "rest_port": spark.rest_port,
                "ui_url": spark.ui_url,
                "spark_home": str(spark.home),
                "spark_version": spark.version,
                "python": str(spark.python),
                "application": str(spark.application),
                "conf": dict(spark.conf),
            },
        },
        "smtp_default": {
            "conn_type": "smtp",
            "host": smtp.host,
            "port": smtp.port,
            "extra": {
                "from_email": smtp.mail_from,
                "to_email": smtp.mail_to,
                "disable_ssl": True,
                "disable_tls": True,
            },
        },
    }


def _program(airflow: Airflow) -> str:
    return str(airflow.venv / "bin" / "airflow")


def _sqlalchemy_url(dsn: str) -> str:
    return changed(dsn).replace("postgresql://", "postgresql+psycopg2://", 1)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _keys(path: Path) -> dict[str, str]:
    """What all processes must share: without it each makes its own, and tasks fail."""
    if not path.is_file():
        fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        made = {name: secrets.token_urlsafe(64) for name in _SECRETS} | {"fernet_key": fernet_key}
        _write_secret(path, json.dumps(made))
    keys: dict[str, str] = json.loads(path.read_text())
    return keys


def _write_secret(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
