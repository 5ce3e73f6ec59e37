"""What the containers are told at each `up`: passwords, addresses, and where trades come from."""

import json
import shlex
import stat
from pathlib import Path

import pytest

from containers import airflow, passwords, pgadmin, prepare
from containers.places import places
from containers.settings import ContainerSettings
from local import source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [*ContainerSettings.model_fields, "BINANCE_WS_URL", "BINANCE_REST_URL", "KUCOIN_REST_URL"]:
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("all", "airflow", "pgadmin", "postgres", "producer", "spark", "spark-master"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(prepare, "FOLDER", tmp_path)
    monkeypatch.setattr(prepare, "OWN", tmp_path / "all")
    monkeypatch.setattr("sys.argv", ["prepare"])
    return tmp_path


def answering(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    monkeypatch.setattr(prepare, "_answers", lambda url: any(f"//{host}:" in url for host in hosts))


def variables(file: Path) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(file.read_text()))


def test_what_is_not_chosen_is_made_up_once_and_closed_to_others(folder: Path) -> None:
    first = passwords.choose(ContainerSettings(), folder, demo=False)
    assert passwords.choose(ContainerSettings(), folder, demo=False) == first
    assert passwords.read(folder) == first
    assert len({first.superuser, first.writer, first.reader, first.monitor, first.airflow_admin}) == 5
    assert "admin" not in (first.airflow_admin, first.pgadmin)
    assert stat.S_IMODE((folder / "passwords.json").stat().st_mode) == 0o600


def test_what_is_chosen_wins_and_only_the_demo_has_well_known_logins(folder: Path) -> None:
    chosen = ContainerSettings(airflow_admin_password="mine")  # noqa: S106
    demo = passwords.choose(chosen, folder, demo=True)
    assert (demo.airflow_admin, demo.pgadmin, demo.reader) == ("mine", "admin", "reader")
    assert len(demo.superuser) > 20


def test_the_simulator_is_the_source_where_it_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "simulator")
    assert prepare.main() == 0
    told = variables(folder / "producer" / "settings.env")
    assert told["BINANCE_WS_URL"] == "ws://simulator:8090"
    assert (folder / "all" / source.IDENTITY_FILE).read_text().startswith("simulated-")
    # a second `up` without it would mix trades of two sources
    answering(monkeypatch)
    assert prepare.main() == 1


def test_the_real_exchanges_are_the_source_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch)
    assert prepare.main() == 0
    assert variables(folder / "producer" / "settings.env")["BINANCE_WS_URL"] == "wss://stream.binance.com:9443"
    assert capsys.readouterr().out == "trades of the source live\n"
    answering(monkeypatch, "simulator")
    assert prepare.main() == 1
    assert "trades of two never mix" in capsys.readouterr().err


def test_no_service_is_told_the_secrets_of_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    assert prepare.main() == 0
    made = passwords.read(folder / "all")
    told = {
        name: "".join(file.read_text() for file in (folder / name).iterdir())
        for name in ("airflow", "pgadmin", "postgres", "producer", "spark", "spark-master")
    }
    knows = {
        "superuser": {"postgres"},
        "writer": {"spark"},
        "reader": {"pgadmin"},
        "monitor": {"airflow"},
        "airflow_db": {"airflow"},
        "airflow_admin": {"airflow"},
        "pgadmin": {"pgadmin"},
        "spark": {"airflow", "spark-master"},
    }
    found = {secret: {who for who, text in told.items() if getattr(made, secret) in text} for secret in knows}
    assert found == knows


def test_people_are_shown_their_logins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["prepare", "--show"])
    assert prepare.main() == 1
    assert "docker compose up" in capsys.readouterr().err
    made = passwords.choose(ContainerSettings(), folder / "all", demo=False)
    assert prepare.main() == 0
    assert f"admin {made.airflow_admin}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("port", "expected"), [(465, {"disable_ssl": False, "disable_tls": True}), (587, {"disable_ssl": True})]
)
def test_airflow_speaks_to_containers_and_to_a_mail_server_with_a_login(
    folder: Path, port: int, expected: dict[str, bool]
) -> None:
    settings = ContainerSettings(
        mail_host="mail.example.com",
        mail_port=port,
        mail_user="me",
        mail_password="secret",  # noqa: S106
    )
    made = passwords.choose(settings, folder, demo=False)
    told = airflow.environ(settings, made, places(settings, made), folder / "keys", "http://prometheus:9090")
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow-api-server:8080/execution/"
    assert told["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] == "http://prometheus:9090/api/v1/otlp/v1/metrics"
    assert "PATH" not in told
    mail = json.loads(told["AIRFLOW_CONN_SMTP_DEFAULT"])
    assert (mail["host"], mail["login"], mail["password"]) == ("mail.example.com", "me", "secret")
    assert mail["extra"].items() >= expected.items()
    spark = json.loads(told["AIRFLOW_CONN_CRYPTO_PIPELINE_SPARK"])
    assert (spark["host"], spark["extra"]["ui_url"]) == ("spark://spark-master", "http://spark-master:8080")
    assert spark["extra"]["public_ui_url"] == "http://localhost:8080"


def test_servers_elsewhere_are_named_by_settings_alone(folder: Path) -> None:
    settings = ContainerSettings(
        external_kafka="a:9092,b:9092",
        external_postgres_dsn="postgresql://root:x@db.example.com:6432/postgres?sslmode=require",
        external_spark_master="spark://spark.example.com:7077",
        external_spark_key="k" * 43,
    )
    chosen = passwords.choose(settings, folder, demo=False)
    assert chosen.spark == "k" * 43
    where = places(settings, chosen)
    assert where.kafka == "a:9092,b:9092"
    assert where.spark_master_url == "spark://spark.example.com:7077"
    assert where.writer_dsn.endswith("@db.example.com:6432/crypto_data?sslmode=require")
    assert where.airflow_dsn.startswith("postgresql://airflow:")


def test_pgadmin_knows_the_server_and_its_password() -> None:
    dsn = "postgresql://reader:with%3Acolon@postgres:5432/crypto_data"
    server = json.loads(pgadmin.servers(dsn))["Servers"]["1"]
    assert (server["Host"], server["Port"], server["Username"]) == ("postgres", 5432, "reader")
    assert "colon" not in pgadmin.servers(dsn)
    assert pgadmin.pgpass(dsn) == "postgres:5432:*:reader:with\\:colon\n"
