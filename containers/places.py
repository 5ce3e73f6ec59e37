"""Where the servers are: the containers beside us, unless the settings name others elsewhere."""

from dataclasses import dataclass

from containers.passwords import Passwords
from containers.settings import ContainerSettings
from local import airflow, provision


@dataclass(frozen=True, slots=True)
class Places:
    """kafka: brokers. The DSNs are those of the users of their names. spark_master_url: `spark://HOST:PORT`."""

    kafka: str
    superuser_dsn: str
    writer_dsn: str
    reader_dsn: str
    monitor_dsn: str
    airflow_dsn: str
    spark_master_url: str


def places(settings: ContainerSettings, passwords: Passwords) -> Places:
    """All addresses, with their passwords."""
    superuser = settings.external_postgres_dsn or provision.changed(
        "", user="postgres", password=passwords.superuser, host="postgres", port="5432", dbname="postgres"
    )

    def of(user: str, password: str, database: str = provision.DATABASE) -> str:
        return provision.changed(superuser, user=user, password=password, dbname=database)

    return Places(
        kafka=settings.external_kafka or "kafka:19092",
        superuser_dsn=superuser,
        writer_dsn=of(provision.WRITER, passwords.writer),
        reader_dsn=of(provision.READER, passwords.reader),
        monitor_dsn=of(provision.MONITOR, passwords.monitor),
        airflow_dsn=of(airflow.DATABASE, passwords.airflow_db, airflow.DATABASE),
        spark_master_url=settings.external_spark_master or "spark://spark-master:7077",
    )
