"""What the demo reads from the environment, once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.airflow import DEFAULT_PASSWORD
from spark_processor.dsn import PostgresDsn

Port = Annotated[int, Field(ge=1, le=65535)]

_ADVERTISED = ("postgres_advertised_port", "kafka_advertised_port", "exchange_advertised_port")


class DemoSettings(BaseSettings):
    """Each field is the environment variable of its name in upper case.

    Raises pydantic's ValidationError, which names the field, where a value is bad.
    """

    model_config = SettingsConfigDict(hide_input_in_errors=True)  # the DSN holds a password

    live: bool = Field(default=False, description="the real exchanges instead of the simulated one")
    # without LIVE an address that is not set is the simulator's, with it the real exchange's
    binance_ws_url: str = Field(default="", description="another WebSocket server that speaks Binance's protocol")
    binance_rest_url: str = Field(default="", description="another REST server that speaks Binance's protocol")
    kucoin_rest_url: str = Field(default="", description="another REST server that speaks KuCoin's protocol")
    symbols_file: Path = Field(default=Path("symbols.yaml"), description="which symbols to carry")
    active_symbols: str = Field(
        default="", description="as binance:BTC-USDT,kucoin:ETH-USDT; chooses instead of the file"
    )

    demo_state_dir: Path = Field(default=Path(".state/demo"), description="where the demo keeps its data and logs")
    cache_dir: Path = Field(default=Path(".state/cache"), description="where fetched jars are kept")
    ivy_settings: Path | None = Field(
        default=None,
        description="an Ivy settings file that names a Maven repository to use instead of Maven Central",
    )

    postgres_dsn: PostgresDsn = Field(
        default="", description="a PostgreSQL server to use instead of the demo's own; its superuser"
    )
    postgres_port: Port = Field(default=5432, description="the database")
    kafka_port: Port = Field(default=9092, description="the broker")
    kafka_controller_port: Port = Field(default=9093, description="the controller in the broker")
    exchange_port: Port = Field(default=8090, description="the exchange simulator")
    # clients reach a server there through a tunnel or a proxy in front of it
    postgres_advertised_port: Port | None = Field(
        default=None, description="where clients are told the database is; empty: at POSTGRES_PORT"
    )
    kafka_advertised_port: Port | None = Field(
        default=None, description="where clients are told the broker is; empty: at KAFKA_PORT"
    )
    exchange_advertised_port: Port | None = Field(
        default=None, description="where clients are told the simulator is; empty: at EXCHANGE_PORT"
    )
    spark_master_port: Port = Field(default=7077, description="the Spark master")
    spark_master_ui_port: Port = Field(default=8080, description="the Spark master's pages")
    spark_rest_port: Port = Field(default=6066, description="the Spark master's submissions over REST")
    spark_worker_ui_port: Port = Field(default=8082, description="the Spark worker's pages")
    metrics_port: Port = Field(default=9108, description="the producer's metrics")
    job_metrics_port: Port = Field(default=9109, description="the job's metrics")

    airflow_port: Port = Field(default=8081, description="Airflow's pages")
    mailbox_port: Port = Field(default=8025, description="the pages of the local mailbox")
    smtp_port: Port = Field(default=1025, description="its mail server")
    airflow_venv: Path = Field(default=Path(".state/airflow-venv"), description="where Airflow is installed")
    alert_email_to: str = Field(
        default="oncall@localhost", min_length=3, description="who gets the mails; with commas"
    )

    # one for the job's driver, the others for its tasks
    spark_worker_cores: int = Field(default=3, ge=2, description="tasks that the Spark worker runs at a time")
    spark_worker_memory: str = Field(
        default="2g",
        pattern=r"^[1-9][0-9]*[mg]$",
        description="memory that the Spark worker may give to executors",
    )

    @field_validator("ivy_settings", *_ADVERTISED, mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    def ports(self) -> Mapping[str, int]:
        """The ports that the demo listens on, by the variable that changes each."""
        return {
            name.upper(): getattr(self, name)
            for name in type(self).model_fields
            if name.endswith("_port")
            and name not in _ADVERTISED
            and not (name == "postgres_port" and self.postgres_dsn)
        }

    @classmethod
    def describe(cls, variable: str) -> str:
        """What a variable is for."""
        return str(cls.model_fields[variable.lower()].description)


class AirflowLogin(BaseSettings):
    """The one secret that people choose: from the environment, or from the file `.env`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    airflow_admin_password: str = Field(
        default="", description=f"of the user admin of Airflow's pages; empty: {DEFAULT_PASSWORD} in a demo"
    )
