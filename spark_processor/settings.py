"""The job's settings: the environment, read once."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from spark_processor.dsn import PostgresDsn

APPLICATION = "CryptoAnalytics"  # the job's name in Spark and in the database
# Java only brings tasks to their Python and back: its second compiler would cost more CPU than it saves.
JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


class JobSettings(BaseSettings):
    """Each field is the environment variable of its name in upper case."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)  # the DSN holds a password

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", min_length=1, description="brokers, host:port,…")
    kafka_topic: str = Field("raw_trades", min_length=1, description="the topic")
    postgres_dsn: PostgresDsn = Field(
        "postgresql://127.0.0.1:5432/crypto_data",
        min_length=1,
        description="the database; a login in crypto_writer",
    )
    trigger_interval: str = Field(
        "1 second",
        pattern=r"^[0-9]+ (milliseconds?|seconds?|minutes?)$",
        description="how often a batch starts; 0 seconds: as soon as the one before it has ended",
    )
    max_offsets_per_trigger: int = Field(500_000, ge=1, description="most messages in a batch")
    spark_master_url: str = Field(
        "local[2,4]", min_length=1, description="spark://host:port, or local[cores,attempts]"
    )
    job_tasks: int = Field(2, ge=1, description="tasks that a batch is divided among; each keeps a core busy")
    postgres_patience_s: float = Field(
        300, gt=0, description="how long a batch waits for a database that is away, until the job fails"
    )
    spark_patience_s: float = Field(
        300, gt=0, description="how long Spark may work at a batch, until the job ends, to be started anew"
    )
    lock_idle_s: float = Field(
        30, ge=1, description="how long a job that hangs keeps others from the bars, until the database drops it"
    )
    job_metrics_host: str = Field("127.0.0.1", description="where /metrics listens")
    job_metrics_port: int = Field(9109, ge=0, le=65535, description="its port; 0: not at all")
    log_format: Literal["console", "json"] = Field("console", description="lines for people, or JSON")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="what is logged")
    log_every_s: float = Field(60, gt=0, description="how often the counts are logged")

    @property
    def trigger_interval_s(self) -> float:
        number, unit = self.trigger_interval.split(" ")
        return int(number) * {"millisecond": 0.001, "second": 1.0, "minute": 60.0}[unit.removesuffix("s")]
