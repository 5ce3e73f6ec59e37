"""
Judges the bars a second time: every **proven** or **attested** bar against the exchange's own candle, field by field
(open, high, low, close, volume, quote volume, trade count, taker-buy volumes; those that the exchange gives).

Runs each hour over the last 26 hours, so that a bar that was repaired late is audited too, and by hand for any range.
A bar of an exchange with consecutive trade ids that differs is rebuilt once: its trades are fetched by id, the bar is
forgotten and made anew, and compared once more. Both values stand in the table `bar_differences`, with what became of
them, and in one mail a run. When a UTC day is over, each symbol gets a certificate: a row in `certificates`, and a mail.

| I want to | do |
|---|---|
| audit a range, say after a repair | trigger it with `from` and `to`; `symbols` narrows it down |
| see a certificate of a day that is not over | trigger it with `certify` |
| see one minute | `select * from audited_minutes('binance', 'BTC-USDT', '2026-11-21 10:00', '2026-11-21 10:01')` |

It uses at most the part of the REST weight that HISTORY_WEIGHT_SHARE gives to audit and history together. Every task
may be cleared at any time: what is equal is not touched, and no bar is rebuilt twice.

## Runbook

| Symptom | What it means | What to do |
|---|---|---|
| mail "values of bars differ", state *stands*, after a rebuild | the exchange's trades and its candles disagree | wait a day, exchanges correct candles, and the audit then says *settled*; if not, compare with its web page |
| the same, "not rebuilt: over REST the exchange gives ..." | the trades can't be had any more | the bar is kept; nothing, or ask the exchange |
| the same on kucoin | its server dropped trades inside a connection | nothing: `bars_1min` shows the candle; if it is frequent, give the producer fewer symbols a process |
| state *found* or *rebuilding* | the run's bound was reached, or it was killed | nothing: the next run goes on |
| a certificate with unproven minutes | gaps, or a symbol's first minute | `missing_ids()` names the ids; the monitor fills them, or crypto_pipeline_history_dag |
| a certificate with "no candle" | the exchange has no candle of those minutes (its engine was down) | nothing |
| *audit* of a symbol failed with HistoryError | the exchange does not answer, or does not know the symbol | read the reason; clear it when the exchange is back |
| *audit* waits for long | REST weight is used up, or the Spark job is behind | see crypto_pipeline_monitor_dag |
"""  # noqa: E501 - rows of a table

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, task

from crypto_pipeline.mail import FailedTaskNotifier


@task(retries=2, retry_delay=timedelta(seconds=30))
def plan(params: dict[str, Any]) -> list[dict[str, Any]]:
    """A symbol with bars in the period a piece of work."""
    from crypto_pipeline.access import database
    from crypto_pipeline.audit.comparison import symbols_to_audit
    from crypto_pipeline.period import read_period
    from crypto_pipeline.settings import PastSettings

    lookback = timedelta(hours=PastSettings().audit_lookback_h)
    period = read_period(datetime.now(UTC), params["from"], params["to"], lookback)
    with database() as db:
        symbols = symbols_to_audit(db, period, params["symbols"])
    print(f"{len(symbols)} symbols, {period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC")  # noqa: T201
    return [
        {
            "exchange": exchange,
            "symbol": symbol,
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "label": f"{exchange}:{symbol}",
        }
        for exchange, symbol in symbols
    ]


@task(
    map_index_template="{{ work['label'] }}",
    retries=2,
    retry_delay=timedelta(minutes=1),
    execution_timeout=timedelta(minutes=50),
    # the monitor's tasks need slots too
    max_active_tis_per_dag=2,
)
def audit(work: dict[str, Any], params: dict[str, Any]) -> str:
    """Compares a symbol's bars with the candles, rebuilds, and certifies the days that the period holds."""
    from crypto_pipeline.audit.comparison import audit_symbol, certify
    from crypto_pipeline.audit.rebuild import Bounds
    from crypto_pipeline.exchange_access import access
    from crypto_pipeline.period import Period

    exchange, symbol = work["exchange"], work["symbol"]
    period = Period(datetime.fromisoformat(work["start"]), datetime.fromisoformat(work["end"]))
    with access(exchange) as to:
        bounds = Bounds(patience_s=to.settings.job_patience_s)
        found = audit_symbol(to.db, to.past, to.publish, exchange, symbol, period, bounds)
        for day in period.days(partly=params["certify"]):
            certify(to.db, exchange, symbol, day)
    print(found)  # noqa: T201 - a task's log
    return str(found)


@task(trigger_rule="all_done", retries=3, retry_delay=timedelta(minutes=1))
def tell(ti: Any) -> None:
    """Mails what no mail has told of; what can't be sent stays untold, for the next run."""
    from crypto_pipeline.access import database
    from crypto_pipeline.audit.mails import tell_certificates, tell_differences
    from crypto_pipeline.mail import send

    run_url = ti.log_url.partition("/tasks/")[0]
    with database() as db:
        differences = tell_differences(db, send, run_url)
        certificates = tell_certificates(db, send, run_url)
    print(f"{differences} differences and {certificates} certificates mailed")  # noqa: T201 - a task's log


with DAG(
    "crypto_pipeline_audit_dag",
    doc_md=__doc__,
    schedule="7 * * * *",  # not at the full hour, when everybody asks the exchange
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two would compare the same minutes
    dagrun_timeout=timedelta(hours=6),
    tags=["crypto", "quality"],
    default_args={"owner": "data-platform", "on_failure_callback": [FailedTaskNotifier()]},
    params={
        "from": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="From",
            description="First minute, UTC unless it names a zone, as 2026-11-21T10:00:00Z. Empty: 26 hours ago.",
        ),
        "to": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="To",
            description="Up to this minute, which is left out. Empty, or later: two minutes ago.",
        ),
        "symbols": Param(
            [],
            type="array",
            items={"type": "string", "pattern": r"^[a-z0-9-]+:[^\s:]+-[^\s:]+$"},
            title="Symbols",
            description="Only these, as binance:BTC-USDT, a line each. Empty: all that have bars in the period.",
        ),
        "certify": Param(
            False,
            type="boolean",
            enum=[True, False],
            title="Certify parts of days",
            description="Also issues certificates of days of which the period holds only a part.",
        ),
    },
):
    audited = audit.expand(work=plan())  # type: ignore[call-arg]  # Airflow passes params
    audited >> tell()  # type: ignore[call-arg]  # and ti
    # all is told, whatever became of a symbol; as the only last task that would hide that one failed
    audited >> EmptyOperator(task_id="all_audited")
