"""The simulator's settings, read once from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class ExchangeSettings(BaseSettings):
    """Variables are these names in upper case behind EXCHANGE_, as in EXCHANGE_PORT.

    symbols: comma-separated, `binance:BTC-USDT`, or `kucoin:50` for fifty of them. rate: trades a second of all
    symbols together. past_minutes: how long the market existed before the first start.
    recording: gzipped CSV to replay as recording_symbol, at speed; empty: none. replay: when it begins: with the
    first WebSocket subscription to its symbol, at the start, or it is past already.
    sent_log: write every batch of sent trades to sent.csv in the state folder.
    The rest are the exchanges' own limits, for tests that can't wait for the real ones.
    """

    model_config = SettingsConfigDict(env_prefix="EXCHANGE_", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=1, le=65535)
    state_dir: Path = Path(".state/exchange")
    symbols: Annotated[list[str], NoDecode] = [
        "binance:TRX-USDT", "binance:BTC-USDT", "binance:ETH-USDT", "kucoin:BTC-USDT", "kucoin:ETH-USDT",
    ]  # fmt: skip
    rate: float = Field(default=50.0, ge=0)
    seed: int = Field(default=1, ge=0)
    past_minutes: int = Field(default=60, ge=0)
    recording: Path | None = None
    recording_symbol: str = "binance:TRX-USDT"
    speed: float = Field(default=20.0, gt=0)
    replay: Literal["subscription", "start", "past"] = "subscription"
    tick_s: float = Field(default=0.02, gt=0)
    sent_log: bool = False
    slow_client_bytes: int = Field(default=32_000_000, gt=0)
    kline_every_s: float = Field(default=2.0, gt=0)

    log_format: Literal["console", "json"] = Field(default="console", validation_alias="LOG_FORMAT")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", validation_alias="LOG_LEVEL")

    binance_ping_s: float = Field(default=20.0, gt=0)
    binance_pong_timeout_s: float = Field(default=60.0, gt=0)
    binance_life_s: float = Field(default=86_400.0, gt=0)
    binance_messages_per_s: int = Field(default=5, gt=0)
    binance_streams: int = Field(default=1024, gt=0)
    binance_connects_per_5min: int = Field(default=300, gt=0)
    binance_weight_per_min: int = Field(default=6000, gt=0)
    binance_ban_s: int = Field(default=120, gt=0)

    kucoin_ping_interval_ms: int = Field(default=18_000, gt=0)
    kucoin_ping_timeout_ms: int = Field(default=10_000, gt=0)
    kucoin_token_life_s: float = Field(default=86_400.0, gt=0)
    kucoin_connects_per_min: int = Field(default=30, gt=0)
    kucoin_messages_per_10s: int = Field(default=100, gt=0)
    kucoin_symbols_per_topic: int = Field(default=100, gt=0)
    kucoin_topics: int = Field(default=400, gt=0)
    kucoin_weight_per_30s: int = Field(default=2000, gt=0)
    kucoin_end_at_inclusive: bool = False

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("recording", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return value or None
