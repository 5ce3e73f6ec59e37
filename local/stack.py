"""What the demo runs: which processes, with which settings, in which order."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from pyspark import __version__ as spark_version

from local import airflow as orchestration
from local import broker, cluster, database, leftovers, provision
from local.airflow_connections import Smtp, Spark
from local.jars import BROKER, fetch
from local.java import find_java
from local.provision import MONITOR, READER, WRITER
from local.settings import AirflowLogin, DemoSettings
from local.source import Source
from local.state import Passwords
from local.supervision import Program

HOST = "127.0.0.1"
TOPIC = "raw_trades"
APPLICATION = "CryptoAnalytics"

_RECORDING = Path(__file__).parent.parent / "tests" / "recorded" / "TRXUSDT_trades_20250304.csv.gz"
# Settings of another Spark or Hadoop on this machine would be taken for this one's.
_NOT_INHERITED = ("SPARK_", "PYSPARK_", "HADOOP_", "PYTHONPATH", "PYTHONHOME")


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that runs, ready to be started.

    servers: what the others need before they start: database and broker. engines: the exchange, Spark and the
    mailbox. airflow, airflow_processes: who submits the job. producer: comes last and ends first.
    job_runs: whether the job has its executors.
    environ: of all of them. postgres_dsn: the superuser's, to the server.
    addresses: what people can open. assignments: what other programs need to join in.
    """

    servers: Sequence[Program]
    engines: Sequence[Sequence[Program]]
    airflow: orchestration.Airflow
    airflow_processes: Sequence[Program]
    producer: Program
    job_runs: Callable[[], bool]
    environ: Mapping[str, str]
    postgres_dsn: str
    bootstrap_servers: str
    addresses: Mapping[str, str]
    assignments: Mapping[str, str]

    @property
    def programs(self) -> list[Program]:
        """In the order in which they start."""
        engines = [program for step in self.engines for program in step]
        return [*self.servers, *engines, *self.airflow_processes, self.producer]


def build(
    settings: DemoSettings,
    source: Source,
    symbols: Sequence[str],
    folder: Path,
    passwords: Passwords,
    say: Callable[[str], None],
) -> Stack:
    """Fetches what is missing and makes all folders ready; nothing runs yet.

    symbols: as `binance:BTC-USDT`. folder: the source's. say: told what takes long.
    Raises NoJava, JarsUnavailable, DatabaseBroken, BrokerBroken.
    """
    java = find_java(settings.cache_dir)
    say(f"Java {java.version} from {java.found}")
    say("jars of the broker (the first time they are fetched, about a minute)")
    broker_jars = fetch(BROKER, settings.cache_dir, java, settings.ivy_settings)

    say(f"data in {folder}")
    own_server = None
    if not settings.postgres_dsn:
        own_server = database.Server(folder / "postgres", settings.postgres_port, passwords.superuser)
    postgres_dsn = own_server.dsn() if own_server else settings.postgres_dsn
    clients_dsn = postgres_dsn
    if own_server and settings.postgres_advertised_port:
        clients_dsn = provision.changed(postgres_dsn, port=str(settings.postgres_advertised_port))
    in_database = provision.changed(clients_dsn, dbname=provision.DATABASE)
    reader_dsn = provision.changed(in_database, user=READER, password=passwords.reader)
    writer_dsn = provision.changed(in_database, user=WRITER, password=passwords.writer)
    kafka = broker.Broker(
        folder / "kafka",
        settings.kafka_port,
        settings.kafka_controller_port,
        advertised_port=settings.kafka_advertised_port,
    )
    spark = cluster.Cluster(
        folder / "spark",
        settings.spark_master_port,
        settings.spark_master_ui_port,
        settings.spark_rest_port,
        settings.spark_worker_ui_port,
        settings.spark_worker_cores,
        settings.spark_worker_memory,
        passwords.spark,
    )
    airflow = _airflow(settings, spark, folder, clients_dsn, passwords)
    assignments = {
        "POSTGRES_DSN": reader_dsn,
        "POSTGRES_WRITER_DSN": writer_dsn,
        "POSTGRES_SUPERUSER_DSN": in_database,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC": TOPIC,
        "BINANCE_WS_URL": source.binance_ws_url,
        "BINANCE_REST_URL": source.binance_rest_url,
        "KUCOIN_REST_URL": source.kucoin_rest_url,
        "SPARK_MASTER_URL": spark.master_url,
        "SPARK_REST_URL": spark.rest_url,
        "JAVA_HOME": str(java.home),
        "AIRFLOW_URL": airflow.url,
        "AIRFLOW_ADMIN_PASSWORD": airflow.admin_password,
        "MAILBOX_URL": _mailbox_url(settings),
    }
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)},
        **assignments,
        **cluster.prepare(spark, java),
        **leftovers.mark(settings.demo_state_dir),
        "POSTGRES_DSN": writer_dsn,
        "METRICS_PORT": str(settings.metrics_port),
        "JOB_METRICS_PORT": str(settings.job_metrics_port),
        "SYMBOLS_FILE": str(settings.symbols_file.resolve()),
        "ACTIVE_SYMBOLS": settings.active_symbols,
        "EXCHANGE_PORT": str(settings.exchange_port),
        "EXCHANGE_STATE_DIR": str(folder / "exchange"),
        "EXCHANGE_SYMBOLS": ",".join(symbols),
        "EXCHANGE_RECORDING": os.environ.get("EXCHANGE_RECORDING", str(_RECORDING)),
        "PYTHONUNBUFFERED": "1",
        **orchestration.prepare(airflow),
    }
    for name in (
        "POSTGRES_WRITER_DSN",
        "POSTGRES_SUPERUSER_DSN",
        "AIRFLOW_ADMIN_PASSWORD",
    ):  # for people, and not for the processes
        del environ[name]
    metrics_url = f"http://{HOST}:{settings.metrics_port}/metrics"
    job_metrics_url = f"http://{HOST}:{settings.job_metrics_port}/metrics"
    return Stack(
        servers=[*_database(own_server), _broker(kafka, broker.prepare(kafka, java, broker_jars))],
        engines=[
            [
                *([_exchange(settings.exchange_port)] if source.simulated else []),
                Program("master", cluster.master_command(spark), lambda: cluster.master_is_ready(spark)),
            ],
            [
                Program("worker", cluster.worker_command(spark), lambda: cluster.worker_is_ready(spark)),
                _mailbox(settings, folder),
            ],
        ],
        airflow=airflow,
        airflow_processes=[
            Program(process.name, process.command, process.ready, process.ready_within_s)
            for process in orchestration.processes(airflow, environ)
        ],
        producer=Program(
            "producer",
            [sys.executable, "-m", "producer"],
            lambda: _answers(metrics_url),
            stop_within_s=45,  # it hands over what it has read
        ),
        job_runs=lambda: cluster.runs_application(spark, APPLICATION),
        environ=environ,
        postgres_dsn=postgres_dsn,
        bootstrap_servers=kafka.bootstrap_servers,
        addresses={
            "Airflow": f"{airflow.url} (user admin, {_told(airflow.admin_password)})",
            "mails": _mailbox_url(settings),
            "Spark": spark.master_ui_url,
            "producer's metrics": metrics_url,
            "job's metrics": job_metrics_url,
            "database": "make psql, or any program with what make env prints",
            "logs": str(folder / "logs"),
        },
        assignments=assignments,
    )


def _database(server: database.Server | None) -> list[Program]:
    if server is None:
        return []
    runnable = database.prepare(server)
    return [
        Program(
            "database",
            runnable.command,
            lambda: database.is_ready(server.dsn()),
            stop_signal="INT",  # fast: it doesn't wait for its clients to leave
            stop_within_s=60,
            user=runnable.user,
        )
    ]


def _broker(kafka: broker.Broker, command: Sequence[str]) -> Program:
    # a log that was cut off by a crash is checked before it is served
    return Program("broker", command, lambda: broker.is_ready(kafka.bootstrap_servers), 180, stop_within_s=60)


def _airflow(
    settings: DemoSettings,
    spark: cluster.Cluster,
    folder: Path,
    postgres_dsn: str,
    passwords: Passwords,
) -> orchestration.Airflow:
    return orchestration.Airflow(
        folder=folder / "airflow",
        venv=settings.airflow_venv.resolve(),
        metadata_dsn=provision.changed(
            postgres_dsn, dbname=orchestration.DATABASE, user=orchestration.DATABASE, password=passwords.airflow
        ),
        crypto_data_dsn=provision.changed(
            postgres_dsn, dbname=provision.DATABASE, user=MONITOR, password=passwords.monitor
        ),
        spark=Spark(
            spark.master_url,
            settings.spark_rest_port,
            passwords.spark,
            spark.master_ui_url,
            cluster.spark_home(),
            spark_version,
            Path(sys.executable),
            Path(__file__).parent.parent / "spark_processor" / "job.py",
            cluster.JOB_PROPERTIES,
        ),
        smtp=Smtp(HOST, settings.smtp_port, "pipeline@localhost", settings.alert_email_to),
        port=settings.airflow_port,
        admin_password=AirflowLogin().airflow_admin_password or orchestration.DEFAULT_PASSWORD,
    )


def _told(admin_password: str) -> str:
    """A password that somebody chose is not shown to whoever looks over a shoulder, or reads a log."""
    known = admin_password == orchestration.DEFAULT_PASSWORD
    return f"password {admin_password}" if known else "with the password that you chose"


def _mailbox(settings: DemoSettings, folder: Path) -> Program:
    ports = ["--port", str(settings.mailbox_port), "--smtp-port", str(settings.smtp_port)]
    return Program(
        "mailbox",
        [sys.executable, "-m", "local.mailbox", str(folder / "mails"), *ports],
        lambda: _answers(_mailbox_url(settings)),
    )


def _mailbox_url(settings: DemoSettings) -> str:
    return f"http://{HOST}:{settings.mailbox_port}"


def _exchange(port: int) -> Program:
    return Program(
        "exchange",
        [sys.executable, "-m", "local.exchange"],
        lambda: _answers(f"http://{HOST}:{port}/api/v3/ping"),
    )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
