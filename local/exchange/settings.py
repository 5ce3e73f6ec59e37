"""The simulator's settings, read once from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SYMBOLS = ["binance:TRX-USDT", "binance:BTC-USDT", "binance:ETH-USDT", "kucoin:BTC-USDT", "kucoin:ETH-USDT"]


class ExchangeSettings(BaseSettings):
    """Variables are these names in upper case behind EXCHANGE_, as in EXCHANGE_PORT."""

    model_config = SettingsConfigDict(env_prefix="EXCHANGE_")

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8090, ge=1, le=65535, description="port of both exchanges and of /_control")
    state_dir: Path = Field(default=Path(".state/exchange"), description="folder that keeps the time axis")
    symbols: Annotated[list[str], NoDecode] = Field(
        default=_SYMBOLS, description="what is listed: binance:BTC-USDT, or kucoin:50 for fifty; comma-separated"
    )
    rate: float = Field(default=50.0, ge=0, description="synthetic trades a second, of all symbols together")
    seed: int = Field(default=1, ge=0, description="what the synthetic market is made from")
    past_minutes: int = Field(default=60, ge=0, description="how long the market existed before the first start")
    recording: Path | None = Field(default=None, description="gzipped CSV of trades to replay; empty: none")
    recording_symbol: str = Field(default="binance:TRX-USDT", description="the symbol that was recorded")
    speed: float = Field(default=20.0, gt=0, description="how many times faster the recording is played")
    replay: Literal["subscription", "start", "past"] = Field(
        default="subscription", description="when the recording plays: at its first subscriber, at once, or it has"
    )
    tick_s: float = Field(default=0.02, gt=0, description="how often trades are sent")
    kline_every_s: float = Field(default=2.0, gt=0, description="how often candles are sent")
    sent_log: bool = Field(default=False, description="write what is sent to sent.csv in the state folder")
    slow_client_bytes: int = Field(default=32_000_000, gt=0, description="unsent bytes at which a client is slow")

    # The exchanges' own limits, for tests that can't wait for the real ones.
    binance_ping_s: float = Field(default=20.0, gt=0, description="how often Binance pings")
    binance_pong_timeout_s: float = Field(default=60.0, gt=0, description="when it gives up waiting for the pong")
    binance_life_s: float = Field(default=86_400.0, gt=0, description="how long its connections live")
    binance_messages_per_s: int = Field(
        default=5, gt=0, description="messages it takes from a connection a second"
    )
    binance_streams: int = Field(default=1024, gt=0, description="streams a connection")
    binance_connects_per_5min: int = Field(default=300, gt=0, description="connects an address")
    binance_weight_per_min: int = Field(default=6000, gt=0, description="REST weight an address")
    binance_ban_s: int = Field(default=120, gt=0, description="for how long it bans who ignores 429")
    kucoin_ping_interval_ms: int = Field(default=18_000, gt=0, description="how often KuCoin wants a ping")
    kucoin_ping_timeout_ms: int = Field(default=10_000, gt=0, description="by how much a ping may be late")
    kucoin_token_life_s: float = Field(default=86_400.0, gt=0, description="how long tokens and connections live")
    kucoin_connects_per_min: int = Field(default=30, gt=0, description="connects an address")
    kucoin_messages_per_10s: int = Field(default=100, gt=0, description="messages it takes from a connection")
    kucoin_symbols_per_topic: int = Field(default=100, gt=0, description="symbols a topic string")
    kucoin_topics: int = Field(default=400, gt=0, description="topics a connection")
    kucoin_weight_per_30s: int = Field(default=2000, gt=0, description="REST weight an address")
    kucoin_end_at_inclusive: bool = Field(default=False, description="whether candles' endAt is in the range")

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("recording", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return value or None


class LogSettings(BaseSettings):
    """LOG_FORMAT and LOG_LEVEL, which all services share."""

    log_format: Literal["console", "json"] = Field(default="console", description="lines for people, or JSON")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="what is logged")
