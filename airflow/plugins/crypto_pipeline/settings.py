"""The settings of the DAGs: the environment of Airflow's tasks, read once a task."""

from pydantic import Field

from producer.exchanges.adapter import adapter_of
from producer.settings import RestSettings, SymbolSettings, TopicSettings


class MonitorSettings(RestSettings, SymbolSettings, TopicSettings):
    """What the monitor DAG reads.

    Each field is the environment variable of its name in upper case; those of the producer mean the same.
    """

    monitor_weight_share: float = Field(
        default=0.4, gt=0, le=1, description="part of an exchange's REST weight that the monitor may use"
    )
    monitor_catch_up_s: float = Field(
        default=120, gt=0, description="how long the job may take to the end of the topic; beyond it is an alert"
    )
    monitor_feed_grace_s: float = Field(
        default=30,
        ge=0,
        description="how late a trade that the exchange has may arrive; then its feed has stalled",
    )
    monitor_hole_grace_s: float = Field(
        default=60, ge=0, description="how old a hole is, by trade time, before it is a gap"
    )
    monitor_confirm_margin_s: float = Field(
        default=10, ge=0, description="how far the exchange's REST may lag behind its stream"
    )
    monitor_halt_after_s: float = Field(
        default=600, gt=0, description="a shorter silence of a market is never called a halt"
    )
    monitor_max_attempts: int = Field(
        default=5, ge=1, description="answered attempts after which a gap is unfillable"
    )
    monitor_fill_s: float = Field(default=150, gt=0, description="how long one run fills; the next one goes on")
    monitor_gap_minutes: float = Field(
        default=60, gt=0, description="a gap that takes longer over REST is left to the history DAG"
    )
    monitor_gap_age_h: float = Field(default=168, gt=0, description="so is a gap that began longer ago, in hours")
    monitor_candle_hours: float = Field(
        default=24, gt=0, description="how far back bars are compared with candles after a pause"
    )
    monitor_remind_h: float = Field(
        default=24, gt=0, description="how often mails repeat what is not over, in hours"
    )


class PastSettings(RestSettings, TopicSettings):
    """What the audit and history DAGs read, in the same way."""

    binance_bulk_url: str = Field(
        default="",
        description="where Binance's files of past days are; empty: its public address, and none beside another "
        "REST server, whose trades are others",
    )
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

    def bulk_url(self, exchange: str) -> str:
        """Where the files of an exchange are; empty: nowhere."""
        if told := self._address(exchange, "bulk_url", None):
            return told
        adapter = adapter_of(exchange)
        return (adapter.BULK_URL or "") if self.rest_url(exchange) == adapter.REST_URL else ""
