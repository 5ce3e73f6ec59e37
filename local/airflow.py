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

from local.airflow_api import AirflowApi
from local.airflow_connections import Smtp, Spark, connections
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

    @property
    def api(self) -> AirflowApi:
        return AirflowApi(self.url, self.admin_password)


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
    connected = connections(airflow.crypto_data_dsn, airflow.spark, airflow.smtp)
    return {
        "AIRFLOW_HOME": str(airflow.folder),
        **{f"AIRFLOW__{section}__{key}".upper(): str(value) for (section, key), value in settings.items()},
        **{f"AIRFLOW_CONN_{name}".upper(): json.dumps(value) for name, value in connected.items()},
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

    def part(name: str, *options: str) -> Process:
        state = name.replace("-", "_")
        return Process(
            name, [program, name, *options], environ, lambda: airflow.api.health().get(state) == "healthy"
        )

    program = _program(airflow)
    return [
        Process("api-server", [program, "api-server"], environ, lambda: "metadatabase" in airflow.api.health()),
        # all read the logs from the same folder, so no process needs to serve its own
        part("scheduler", "--skip-serve-logs"),
        part("dag-processor"),
        part("triggerer", "--skip-serve-logs"),
    ]


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
