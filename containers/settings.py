"""What the one-shot services of docker-compose.yml read from the environment, once."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.airflow import DEFAULT_PASSWORD
from spark_processor.dsn import PostgresDsn


class ContainerSettings(BaseSettings):
    """Each field is the environment variable of its name in upper case.

    A secret that is empty is made up at the first start, and kept in a volume.
    """

    model_config = SettingsConfigDict(hide_input_in_errors=True)  # many are passwords

    airflow_admin_password: str = Field(
        default="", description=f"of the user admin of Airflow's pages; empty: {DEFAULT_PASSWORD} in a demo"
    )
    airflow_db_password: str = Field(default="", description="of Airflow's own user of the database")
    pgadmin_password: str = Field(default="", description="of pgAdmin's pages; empty: admin in the demo")
    postgres_password: str = Field(
        default="", description="of the superuser postgres; read when the volume is made, not later"
    )
    postgres_reader_password: str = Field(
        default="", description="of crypto_pipeline_people, who reads all; empty: reader in the demo"
    )
    postgres_writer_password: str = Field(default="", description="of crypto_pipeline_job")
    postgres_monitor_password: str = Field(default="", description="of crypto_pipeline_airflow")

    pgadmin_email: str = Field(default="admin@example.com", description="pgAdmin's user")
    airflow_url: str = Field(
        default="http://localhost:8081", description="Airflow as browsers reach it: links in mails begin so"
    )
    spark_ui_url: str = Field(default="http://localhost:8080", description="the Spark master's pages, likewise")

    alert_email_to: str = Field(
        default="oncall@localhost", min_length=3, description="who gets the mails; with commas"
    )
    mail_from: str = Field(default="pipeline@localhost", min_length=3, description="who sends the mails")
    mail_host: str = Field(default="mailbox", min_length=1, description="the mail server")
    mail_port: int = Field(default=1025, ge=1, le=65535, description="its port; 465 is encrypted from the start")
    mail_user: str = Field(default="", description="its user; empty: none, and no encryption")
    mail_password: str = Field(default="", description="its password")

    kafka_topic: str = Field(default="raw_trades", min_length=1, description="the topic, which must exist")

    # of servers elsewhere, as docker-compose.scale.yml asks for them
    external_kafka: str = Field(default="", description="brokers elsewhere, host:port,…")
    external_postgres_dsn: PostgresDsn = Field(
        default="", description="the superuser's DSN of a PostgreSQL elsewhere"
    )
    external_spark_master: str = Field(default="", description="a standalone master elsewhere, spark://host:port")
    external_spark_key: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9_-]{43,}={0,2})?$",
        description="the secretKey of its submissions, in base64url",
    )
