"""What the DAGs connect to, as Airflow's connections: database, Spark, mail server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg2.extensions import parse_dsn


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


def connections(crypto_data_dsn: str, spark: Spark, smtp: Smtp) -> dict[str, dict[str, Any]]:
    """The connections of the DAGs by their ids, as the variables AIRFLOW_CONN_<ID> take them in JSON.

    https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html
    """
    database = parse_dsn(crypto_data_dsn)
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
