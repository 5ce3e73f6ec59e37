"""The producer's settings: the environment, read once; REST servers, symbols and topic are also Airflow's."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from producer.exchanges.adapter import adapter_of


class RestSettings(BaseSettings):
    """Where exchanges answer over REST. Each field is the environment variable of its name in upper case.

    An exchange's addresses are those of its adapter, unless a field `<exchange>_rest_url`, or another one of a
    subclass, says otherwise: a new exchange works without a line here, and is made configurable by one.
    """

    binance_rest_url: str = Field(default="https://api.binance.com", description="Binance's REST server")
    kucoin_rest_url: str = Field(
        default="https://api.kucoin.com", description="KuCoin's REST server, which names the WebSocket server"
    )

    def rest_url(self, exchange: str) -> str:
        """The REST server of an exchange."""
        return str(self._address(exchange, "rest_url", adapter_of(exchange).REST_URL))

    def _address(self, exchange: str, kind: str, otherwise: str | None) -> str | None:
        """The field `<exchange>_<kind>` where there is one."""
        address: str | None = getattr(self, f"{exchange.replace('-', '_')}_{kind}", otherwise)
        return address


class SymbolSettings(BaseSettings):
    """Which symbols are carried."""

    symbols_file: Path = Field(default=Path("symbols.yaml"), description="which symbols to carry")
    active_symbols: str = Field(
        default="", description="as binance:BTC-USDT,kucoin:ETH-USDT; chooses instead of the file"
    )


class TopicSettings(BaseSettings):
    """Where trades are published."""

    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092", min_length=1, description="brokers, host:port,…"
    )
    kafka_topic: str = Field(default="raw_trades", min_length=1, description="the topic, which must exist")


class ProducerSettings(RestSettings, SymbolSettings, TopicSettings):
    """Each field is the environment variable of its name in upper case.

    A field `<exchange>_ws_url` says where the WebSocket server of an exchange is, as others do of REST servers.
    """

    binance_ws_url: str = Field(default="wss://stream.binance.com:9443", description="Binance's WebSocket server")
    rest_weight_share: float = Field(
        default=0.4, gt=0, le=1, description="part of an exchange's REST weight that the producer may use"
    )

    buffer_mb: int = Field(
        default=256, ge=1, description="trades kept in memory while the broker is away; beyond it reading stops"
    )
    flush_timeout_s: float = Field(
        default=30, gt=0, description="how long a stop waits for the broker to take what is buffered"
    )

    stale_after_s: float = Field(
        default=60, gt=0, description="without a trade for so long, a connection is renewed and /healthz says 503"
    )
    shard_index: int = Field(default=0, ge=0, description="which part of the symbols this process carries, from 0")
    shard_count: int = Field(
        default=1, ge=1, description="among how many processes of this address they are divided"
    )

    metrics_host: str = Field(default="127.0.0.1", description="where /metrics and /healthz listen")
    metrics_port: int = Field(default=9108, ge=0, le=65535, description="their port; 0 for any free one")
    log_format: Literal["console", "json"] = Field(default="console", description="lines for people, or JSON")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="what is logged")
    log_every_s: float = Field(default=60, gt=0, description="how often the counts are logged")

    @model_validator(mode="after")
    def _shard_exists(self) -> "ProducerSettings":
        if self.shard_index >= self.shard_count:
            raise ValueError(
                f"SHARD_INDEX={self.shard_index} must be below SHARD_COUNT={self.shard_count}: count from 0"
            )
        return self

    def websocket_url(self, exchange: str) -> str | None:
        """The WebSocket server of an exchange; None where its ticket names it."""
        return self._address(exchange, "ws_url", adapter_of(exchange).WS_URL)
