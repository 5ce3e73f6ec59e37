"""The settings of the audit and history DAGs: the environment of Airflow's tasks, read once a task."""

from pydantic import Field
from pydantic_settings import BaseSettings

from producer.exchanges.adapter import adapter_of


class PastSettings(BaseSettings):
    """Each field is the environment variable of its name in upper case; those of the producer mean the same."""

    binance_rest_url: str = Field(default="https://api.binance.com", description="Binance's REST server")
    binance_bulk_url: str = Field(
        default="",
        description="where Binance's files of past days are; empty: its public address, and none beside another "
        "REST server, whose trades are others",
    )
    kucoin_rest_url: str = Field(
        default="https://api.kucoin.com", description="KuCoin's REST server, which names the WebSocket server"
    )
    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092", min_length=1, description="brokers, host:port,…"
    )
    kafka_topic: str = Field(default="raw_trades", min_length=1, description="the topic, which must exist")
    history_weight_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="part of an exchange's REST weight that audit and history may use together",
    )
    audit_lookback_h: float = Field(
        default=26, gt=0, le=168, description="how far back the hourly audit looks, in hours; 26 hold a whole day"
    )
    job_patience_s: float = Field(
        default=300, gt=0, description="how long the Spark job may take in nothing of what was published"
    )

    def rest_url(self, exchange: str) -> str:
        """The REST server of an exchange: its field `<exchange>_rest_url` where there is one, else its own."""
        return str(getattr(self, _field(exchange, "rest_url"), adapter_of(exchange).REST_URL))

    def bulk_url(self, exchange: str) -> str:
        """Where the files of an exchange are; empty: nowhere."""
        if told := str(getattr(self, _field(exchange, "bulk_url"), "")):
            return told
        adapter = adapter_of(exchange)
        return (adapter.BULK_URL or "") if self.rest_url(exchange) == adapter.REST_URL else ""


def _field(exchange: str, name: str) -> str:
    return f"{exchange.replace('-', '_')}_{name}"
