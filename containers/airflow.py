"""Airflow's environment in containers: that of one machine (`local.airflow`), with the addresses of containers."""

import json
from pathlib import Path
from typing import Any

from pyspark import __version__ as spark_version

from containers.passwords import Passwords
from containers.places import Places
from containers.settings import ContainerSettings
from local import airflow
from local.airflow_connections import Smtp, Spark
from local.cluster import JOB_PROPERTIES

_API_SERVER = "http://airflow-api-server:8080"
_INSTALLED = Path("/opt/airflow")


def environ(
    settings: ContainerSettings, passwords: Passwords, places: Places, folder: Path, metrics_url: str | None
) -> dict[str, str]:
    """The variables of every process of Airflow.

    folder: where keys are kept. metrics_url: of a Prometheus that takes metrics; None where none runs.
    """
    variables = airflow.prepare(_described(settings, passwords, places, folder))
    del variables["PATH"]
    variables |= {
        "AIRFLOW_HOME": "/tmp/airflow",  # noqa: S108 - a folder in memory; nothing is to be kept there
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{_API_SERVER}/execution/",
        "AIRFLOW__API__HOST": "0.0.0.0",  # noqa: S104 - of the container
        "AIRFLOW__API__PORT": "8080",
        "AIRFLOW__API__BASE_URL": settings.airflow_url,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_INSTALLED / "logs"),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "AIRFLOW_CONN_CRYPTO_PIPELINE_SPARK": _extended(
            variables["AIRFLOW_CONN_CRYPTO_PIPELINE_SPARK"], public_ui_url=settings.spark_ui_url
        ),
    }
    if settings.mail_user:
        encrypted = settings.mail_port == 465  # from the start; else after STARTTLS
        connection = _extended(
            variables["AIRFLOW_CONN_SMTP_DEFAULT"], disable_ssl=not encrypted, disable_tls=encrypted
        )
        login = {"login": settings.mail_user, "password": settings.mail_password}
        variables["AIRFLOW_CONN_SMTP_DEFAULT"] = json.dumps(json.loads(connection) | login)
    if metrics_url:
        variables |= {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{metrics_url}/api/v1/otlp/v1/metrics",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            "OTEL_METRIC_EXPORT_INTERVAL": "30000",
        }
    return variables


def passwords_file(folder: Path) -> str:
    """The content of the file of passwords that `environ` wrote."""
    return (folder / "passwords.json").read_text()


def _described(settings: ContainerSettings, passwords: Passwords, places: Places, folder: Path) -> airflow.Airflow:
    ui_url = f"http://{places.spark_master_url.removeprefix('spark://').partition(':')[0]}:8080"
    return airflow.Airflow(
        folder=folder,
        venv=Path("/usr/local"),
        metadata_dsn=places.airflow_dsn,
        crypto_data_dsn=places.monitor_dsn,
        spark=Spark(
            master_url=places.spark_master_url,
            rest_port=6066,
            key=passwords.spark,
            ui_url=ui_url,
            home=Path("/opt/spark"),
            version=spark_version,
            python=Path("/usr/local/bin/python"),
            application=Path("/app/spark_processor/job.py"),
            conf=JOB_PROPERTIES,
        ),
        smtp=Smtp(settings.mail_host, settings.mail_port, settings.mail_from, settings.alert_email_to),
        admin_password=passwords.airflow_admin,
        dags_dir=_INSTALLED / "dags",
        plugins_dir=_INSTALLED / "plugins",
    )


def _extended(connection: str, **extra: Any) -> str:
    """The connection with more in its extra."""
    known: dict[str, Any] = json.loads(connection)
    return json.dumps({**known, "extra": {**known["extra"], **extra}})
