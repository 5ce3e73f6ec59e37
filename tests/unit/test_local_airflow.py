"""Airflow's settings: what the demo's processes of it are told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from local import airflow
from local.airflow import Airflow, AirflowRefused
from local.airflow_connections import Smtp, Spark


@pytest.fixture
def one(tmp_path: Path) -> Airflow:
    spark = Spark(
        master_url="spark://127.0.0.1:7077",
        rest_port=6066,
        key="the-key",
        ui_url="http://127.0.0.1:8080",
        home=Path("/spark"),
        version="4.0.5",
        python=Path("/venv/bin/python"),
        application=Path("/job.py"),
        conf={"spark.cores.max": "2"},
    )
    return Airflow(
        folder=tmp_path / "airflow",
        venv=Path("/airflow-venv"),
        metadata_dsn="host=127.0.0.1 port=5432 user=postgres password=a@b dbname=airflow",
        crypto_data_dsn="postgresql://job:s%3Acret@127.0.0.1:5432/crypto_data",
        spark=spark,
        smtp=Smtp("127.0.0.1", 1025, "airflow@example.org", "ops@example.org, night@example.org"),
    )


def test_the_default_password_is_refused_where_others_reach_it(one: Airflow) -> None:
    with pytest.raises(AirflowRefused, match=r"AIRFLOW_ADMIN_PASSWORD is the default, .* 0\.0\.0\.0"):
        airflow.prepare(replace(one, host="0.0.0.0"))  # noqa: S104 - it is refused
    assert not one.folder.exists()
    airflow.prepare(replace(one, host="0.0.0.0", admin_password="another"))  # noqa: S104, S106
    airflow.prepare(replace(one, host="localhost"))
    airflow.prepare(replace(one, host="::1"))


def test_the_password_is_the_admins(one: Airflow) -> None:
    environ = airflow.prepare(replace(one, admin_password="another"))  # noqa: S106
    passwords = Path(environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert json.loads(passwords.read_text()) == {"admin": "another"}
    assert passwords.stat().st_mode & 0o777 == 0o600
    assert environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin"


def test_secrets_are_made_once(one: Airflow) -> None:
    names = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET")
    first, second = airflow.prepare(one), airflow.prepare(one)
    assert [first[name] for name in names] == [second[name] for name in names]
    assert len({first[name] for name in names}) == 3
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert (one.folder / "keys.json").stat().st_mode & 0o777 == 0o600


def test_the_metadata_are_in_a_database_of_their_own(one: Airflow) -> None:
    url = airflow.prepare(one)["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert url == "postgresql+psycopg2://postgres:a%40b@127.0.0.1:5432/airflow"


def test_the_connections_need_no_click(one: Airflow) -> None:
    environ = airflow.prepare(one)
    connections = {
        name.removeprefix("AIRFLOW_CONN_").lower(): json.loads(value)
        for name, value in environ.items()
        if name.startswith("AIRFLOW_CONN_")
    }
    assert connections == {
        "crypto_pipeline_postgres": {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": 5432,
            "login": "job",
            "password": "s:cret",
            "schema": "crypto_data",
        },
        "crypto_pipeline_spark": {
            "conn_type": "spark",
            "host": "spark://127.0.0.1",
            "port": 7077,
            "password": "the-key",
            "extra": {
                "rest_port": 6066,
                "ui_url": "http://127.0.0.1:8080",
                "spark_home": "/spark",
                "spark_version": "4.0.5",
                "python": "/venv/bin/python",
                "application": "/job.py",
                "conf": {"spark.cores.max": "2"},
            },
        },
        "smtp_default": {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": 1025,
            "extra": {
                "from_email": "airflow@example.org",
                "to_email": "ops@example.org, night@example.org",
                "disable_ssl": True,
                "disable_tls": True,
            },
        },
    }


def test_links_and_tasks_find_the_api_server(one: Airflow) -> None:
    environ = airflow.prepare(replace(one, port=48081))
    assert environ["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:48081"
    assert environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:48081/execution/"


def test_four_processes_run_from_its_own_environment(one: Airflow) -> None:
    processes = airflow.processes(replace(one, port=1), {"AIRFLOW_HOME": "here"})
    assert [process.name for process in processes] == ["api-server", "scheduler", "dag-processor", "triggerer"]
    assert {process.command[0] for process in processes} == {"/airflow-venv/bin/airflow"}
    assert [process.ready() for process in processes] == [False] * 4  # nothing runs there
