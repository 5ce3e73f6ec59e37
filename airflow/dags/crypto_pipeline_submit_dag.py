"""
Keeps the Spark job **CryptoAnalytics** alive: exactly one driver on the standalone master.

The job turns trades in Kafka into 1-minute bars in Postgres. Trigger this DAG once, with *Trigger* above; its one task
submits the job in cluster mode, then waits *deferred*, without a worker slot, for as long as the job runs. A dot in
light purple in the grid is the normal state. The button **Spark UI** on the task's page opens the running job.

| I want to | do |
|---|---|
| stop the job | mark the task or the run as *failed* (or *success*); the driver is gone within 5 s |
| restart it, or run new code | *clear* the task: the driver is replaced, there are never two |
| change interval or batch size | mark the run as failed, then trigger anew with other values |

Nothing is lost by any of these: the job resumes at the Kafka position of the last committed batch.

## Runbook

| Symptom | What it means | What to do |
|---|---|---|
| Task *deferred* | the driver runs, or waits for a worker with free cores and memory | nothing; look at **Spark UI** |
| *up for retry*, a mail "Spark driver ... ended" | the driver died; a new one starts in 5 s, later in a crash loop (10, 20, ... 300 s) | read the last lines of the driver's log, in the mail and in the task's log; mend the cause; *clear* to start at once |
| the same mail again and again (1st, 2nd, 4th, 8th death) | a crash loop: a bug, a database or broker that is away for long, a bad setting | as above; no trade is lost as long as the broker keeps it (72 h) |
| mail "the Spark master has not answered" | the master is away for 15 minutes; the driver itself may work on | start the master again; the task finds its driver |
| "the Spark master took no driver" | the request was refused | read the reason; compare the connection `crypto_pipeline_spark` with what is installed on the workers |
| task *running* for minutes | old drivers do not end, or the master is away | see that master and worker run |
| driver in state `SUBMITTED`, no bars | no worker, or none with room | start a worker; give it cores and memory |
| a second run is *queued* | one run is active, and only one may be | mark one of the two as failed |
"""  # noqa: E501 - rows of a table

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from crypto_pipeline.mail import FailedTaskNotifier
from crypto_pipeline.submit.connection import SUBMIT_CONN_ID, SUBMIT_DAG_ID, SUBMIT_TASK_ID
from crypto_pipeline.submit.operator import SparkDriverOperator

with DAG(
    SUBMIT_DAG_ID,
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs would replace each other's driver for ever
    tags=["crypto", "spark"],
    default_args={"owner": "data-platform"},
    params={
        "trigger_interval": Param(
            "1 second",
            type="string",
            title="Trigger interval",
            pattern=r"^[0-9]{1,3} (second|seconds|minute|minutes)$",
            description="How often a batch begins: `1 second`, up to `999 minutes`. `0 seconds` begins each as "
            "soon as the one before has ended: least delay, most load.",
        ),
        "batch_size": Param(
            500_000,
            type="integer",
            title="Batch size",
            minimum=1_000,
            maximum=5_000_000,
            description="Messages that one batch takes at most, from 1,000 to 5,000,000. It bounds the memory "
            "that catching up takes.",
        ),
    },
):
    SparkDriverOperator(
        task_id=SUBMIT_TASK_ID,
        conn_id=SUBMIT_CONN_ID,
        name="CryptoAnalytics",
        application_args=[
            *("--trigger-interval", "{{ params.trigger_interval }}"),
            *("--batch-size", "{{ params.batch_size }}"),
        ],
        retries=1_000_000,  # a stream has no last try; the operator itself decides how long to wait
        retry_delay=timedelta(seconds=5),
        on_retry_callback=FailedTaskNotifier(),
        on_failure_callback=FailedTaskNotifier(),
    )
