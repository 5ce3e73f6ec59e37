"""
Fetches the past, by hand: **trades**, which go through the topic into bars and extend coverage backwards, or
**candles**, the exchange's own, into `candles_1min`.

It plans first: how many calls, how much REST weight, how long. The plan stands in the log of *plan*, and as a note
under *Required Actions* of *show_plan*, before anything is fetched; with `approve` it waits there for a person. Then a
UTC day of a symbol is a task of its own. What is in the bars already is not fetched again, so each of them may be
cleared, and the whole triggered again, at any time. At the end the audit is triggered for the range.

All days together use at most the part of the REST weight that HISTORY_WEIGHT_SHARE gives to history and audit, so that
the monitor never starves. Where the exchange has a file of a day (Binance, from the day after on), and that is quicker,
its trades are taken from there, without weight; its checksum is verified, and what it lacks comes over REST.

| I want to | do |
|---|---|
| fill a gap that the monitor left to this DAG | trigger it with the parameters that its mail names |
| have bars of a time before the pipeline began | trigger it with `symbols`, `from` and `to` |
| have the past of kucoin | ask for `candles`: it gives no trades but the last 100 |
| see how far it is | the grid, or `select * from history_days order by changed_at desc` |
| stop it | mark the run as failed; what is fetched stays |

## Runbook

| Symptom | What it means | What to do |
|---|---|---|
| *plan* failed with CannotPlan | what was asked for can't be had | read the reason: it names the parameter; trigger anew |
| *show_plan* is waiting | `approve` was chosen | read the plan under *Required Actions*, approve or reject |
| *fill* failed: "the exchange gives N of its trades neither by file nor over REST" | the exchange itself lacks them | the minutes it names stay unproven; take `candles` of that day |
| *fill* failed: "the Spark job has taken in none" | the job is down or far behind | see crypto_pipeline_submit_dag, then clear the task |
| *fill* says "over REST instead of the file" | the file is not there, or its checksum is wrong | nothing; it takes longer |
| *fill* takes much longer than planned | others use the weight too, or the exchange refused calls | nothing, or ask for less |
| disk of the broker fills | history is retained there for 72 h like live trades | fetch fewer days at a time |
"""  # noqa: E501 - rows of a table

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, task

from crypto_pipeline.history.approval import PlanApproval
from crypto_pipeline.mail import FailedTaskNotifier


@task(retries=2, retry_delay=timedelta(seconds=30))
def plan(params: dict[str, Any], ti: Any) -> list[dict[str, Any]]:
    """Plans each day; nothing is fetched but the ids at the edges of days."""
    from airflow.sdk.exceptions import AirflowFailException

    from crypto_pipeline.access import database
    from crypto_pipeline.exchange_access import access
    from crypto_pipeline.history.note import note
    from crypto_pipeline.history.plan import CannotPlan, keep, plan_candles, plan_trades, read_symbols
    from crypto_pipeline.period import BadPeriod, read_period
    from crypto_pipeline.settings import PastSettings

    share, source = PastSettings().history_weight_share, params["source"]
    try:
        period = read_period(datetime.now(UTC), params["from"], params["to"], timedelta(0))
        days = []
        for exchange, symbol in read_symbols(params["symbols"], params["what"]):
            if params["what"] == "candles":
                days += plan_candles(exchange, symbol, period, share, source)
                continue
            with access(exchange) as to:
                days += plan_trades(to.db, to.past, to.files, exchange, symbol, period, share, source)
        with database() as db:
            keep(db, days)
    except (BadPeriod, CannotPlan) as error:
        raise AirflowFailException(str(error)) from error  # no retry makes it right
    text = note(days, share)
    print(text)  # noqa: T201 - a task's log
    symbols = list(dict.fromkeys(f"{day.exchange}:{day.symbol}" for day in days))
    audit = {"from": period.start.isoformat(), "to": period.end.isoformat(), "symbols": symbols}
    ti.xcom_push(key="note", value=text)
    ti.xcom_push(key="audit", value=audit)
    return [day.to_json() for day in days]


@task(
    map_index_template="{{ day['label'] }}",
    retries=5,
    retry_delay=timedelta(minutes=1),
    retry_exponential_backoff=True,
    max_retry_delay=timedelta(minutes=30),
    execution_timeout=timedelta(hours=12),
    # days share one budget of weight, so side by side they are no faster; and others need slots too
    max_active_tis_per_dag=1,
)
def fill(day: dict[str, Any]) -> int:
    """Fetches what a day of a symbol lacks."""
    from crypto_pipeline.exchange_access import access
    from crypto_pipeline.history.fill import fill_day
    from crypto_pipeline.history.plan import DayPlan

    with access(day["exchange"]) as to:
        return fill_day(to.db, to.past, to.files, to.publish, DayPlan.from_json(day), to.settings.job_patience_s)


with DAG(
    "crypto_pipeline_history_dag",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two would share the weight and be no faster
    tags=["crypto", "backfill"],
    default_args={"owner": "data-platform", "on_failure_callback": [FailedTaskNotifier()]},
    params={
        "symbols": Param(
            ["binance:BTC-USDT"],
            type="array",
            minItems=1,
            items={"type": "string", "pattern": r"^[a-z0-9-]+:[^\s:]+-[^\s:]+$"},
            title="Symbols",
            description="As binance:BTC-USDT, a line each.",
        ),
        "from": Param(
            (datetime(2024, 1, 1, tzinfo=UTC)).isoformat(),
            type="string",
            format="date-time",
            title="From",
            description="First minute, UTC unless it names a zone, as 2026-11-20T00:00:00Z.",
        ),
        "to": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="To",
            description="Up to this minute, which is left out. Empty, or later: two minutes ago.",
        ),
        "what": Param(
            "trades",
            enum=["trades", "candles"],
            type="string",
            title="What",
            description="Trades become bars with a proof; candles are the exchange's own word.",
        ),
        "source": Param(
            "auto",
            enum=["auto", "rest", "bulk file"],
            type="string",
            title="Source",
            description="auto: the exchange's file of a day where there is one and it is quicker, else REST.",
        ),
        "approve": Param(
            False,
            enum=[True, False],
            type="boolean",
            title="Ask before it starts",
            description="Waits under Required Actions until a person has approved the plan.",
        ),
    },
):
    planned = plan()  # type: ignore[call-arg]  # Airflow passes params and ti
    shown = PlanApproval(
        task_id="show_plan",
        subject="What it will cost",
        body="{{ ti.xcom_pull(task_ids='plan', key='note') }}",
    )
    filled = fill.expand(day=planned)
    planned >> shown >> filled
    filled >> TriggerDagRunOperator(
        task_id="audit",
        trigger_dag_id="crypto_pipeline_audit_dag",
        conf=planned["audit"],  # type: ignore[index]  # the decorator's types leave out XComArg's keys
        retries=2,
    )
