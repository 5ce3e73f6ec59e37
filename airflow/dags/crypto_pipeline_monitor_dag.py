"""
Watches the pipeline every 5 minutes: is it running, is it complete? Brings back what is missing, and tells people.

| Task | What it does |
|---|---|
| stream | asks the Spark master for the driver (and kills one that no run owns), and waits until the job has read the topic up to where it ended at the start: what is not read yet is late, not lost |
| freshness | compares each symbol with the exchange's own newest trade id: a quiet market is no alarm, a stalled feed is |
| gaps | writes holes and stale tails into the ledger `gaps`, compares KuCoin's closed minutes with its candles, and plans |
| fill | fetches the missing trades over REST and publishes them to the topic: one task a symbol, 16 a run at most |
| verify | waits for the job, then asks coverage: a gap is verified, tried again in the next run, or given up |
| tell | one mail, if something opened, changed or closed; each day while it lasts |

Every task may be cleared at any time. If the job is behind, *freshness* to *verify* are skipped: lag is not loss.

All REST calls of these tasks together keep to 40 % of an exchange's limit, also after a 429 or 418 of one of them.

## Runbook

| Symptom | What it means | What to do |
|---|---|---|
| mail "The stream is down" | the job reads nothing, or the broker does not answer; no trade is lost for 72 h | see that `crypto_pipeline_submit_dag` has a run, *deferred*; trigger it if not; look at broker, master and worker |
| mail "The stream is behind" | the job works, and has not caught up in 2 min | wait after an outage; if the lag grows, give the worker more cores |
| mail "A feed has stalled" | the exchange trades, and nothing arrives | look at the producer's log and `/healthz`; restart it; what it missed comes back by itself |
| mail "Trades are missing" | ids are missing from the stream | nothing while they are fetched; trigger `crypto_pipeline_history_dag` where the mail names it |
| ... "given up" | the exchange itself does not give these ids | read the reason; the candles of these minutes are kept and shown by `bars_1min` |
| mail "A symbol has never delivered" | enabled, traded, and nothing came | check its spelling in `symbols.yaml`; restart the producer |
| mail "Bars differ from the exchange's candles" | KuCoin dropped trades inside a connection | nothing if rare; else fewer symbols a producer |
| mail "An exchange does not answer over REST" | a limit, a ban or an outage | wait until the time that it names |
| *fill* failed | the broker did not take the trades | look at the broker; the next run tries again |
| *tell* failed | the mail could not be sent | look at the connection `smtp_default`; the next run sends it |
| *freshness* to *verify* skipped | the stream had not caught up | look at *stream* |
"""  # noqa: E501 - rows of a table

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from crypto_pipeline.mail import FailedTaskNotifier

# What comes from another task is Any below: for mypy an argument is the XComArg that stands there at first.

# Skipped where the stream is behind, and otherwise run whatever became of the tasks before.
_WHATEVER_CAME = "all_done"

with DAG(
    "crypto_pipeline_monitor_dag",
    doc_md=__doc__,
    schedule="*/5 * * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two would record and fill the same gaps
    dagrun_timeout=timedelta(minutes=30),
    tags=["crypto", "monitor"],
    default_args={
        "owner": "data-platform",
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=5),
        "on_failure_callback": [FailedTaskNotifier()],
    },
):

    @task
    def stream() -> bool:
        """Whether the job has passed the ends of the topic."""
        from crypto_pipeline.monitor import tasks

        return tasks.stream(get_current_context()["ti"])

    @task
    def freshness(passed: Any) -> dict[str, Any]:
        """What each symbol's feed is."""
        from crypto_pipeline.monitor import tasks

        return tasks.freshness(passed)

    @task(trigger_rule=_WHATEVER_CAME)
    def gaps(passed: Any, found: Any) -> list[dict[str, Any]]:
        """What to fill, a symbol each."""
        from crypto_pipeline.monitor import tasks

        return tasks.gaps(passed, found)

    @task(
        map_index_template="{{ work['label'] }}",
        max_active_tis_per_dagrun=3,  # the last of Airflow's four workers in the demo is for the other DAGs
        execution_timeout=timedelta(minutes=8),
    )
    def fill(work: dict[str, Any]) -> str:
        """What came of a symbol."""
        from crypto_pipeline.monitor import tasks

        return tasks.fill(work, get_current_context()["dag_run"])

    @task(trigger_rule=_WHATEVER_CAME)
    def verify(passed: Any) -> list[dict[str, Any]]:
        """Which gaps changed their state."""
        from crypto_pipeline.monitor import tasks

        return tasks.verify(passed)

    @task(retries=2)
    def tell(passed: Any, found: Any) -> int:
        """How many alerts the mail told of."""
        from crypto_pipeline.monitor import tasks

        return tasks.tell(passed, found, get_current_context()["dag_run"])

    passed = stream()
    found = freshness(passed)
    work = gaps(passed, found)
    verified = verify(passed)
    told = tell(passed, found)
    fill.expand(work=work) >> verified >> told
    # whether a run went well is for the tasks before to say: as a plain last task, a mail that was sent would hide
    # that they failed
    told.as_teardown(on_failure_fail_dagrun=True)
