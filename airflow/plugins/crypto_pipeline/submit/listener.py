"""Ends the driver when a person ends the task or its run, where no trigger does.

The triggerer calls a trigger's `on_kill` only if it runs and has the trigger already: not within a second of the
deferral. The process that changes the state, the API server, calls this listener at once. What registers it is
airflow/plugins/crypto_pipeline_plugin.py.
"""

import logging
import threading
import time
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

from crypto_pipeline.submit.connection import SUBMIT_CONN_ID, SUBMIT_DAG_ID, SUBMIT_TASK_ID, spark_connection
from crypto_pipeline.submit.master import MasterAway, SubmissionRefused, kill_all

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.utils.state import TaskInstanceState

log = logging.getLogger(__name__)


@hookimpl
def on_task_instance_failed(
    previous_state: "TaskInstanceState | None",
    task_instance: "RuntimeTaskInstance | TaskInstance",
    error: "str | BaseException | None",
) -> None:
    _task_ended(previous_state, task_instance)


@hookimpl
def on_task_instance_success(
    previous_state: "TaskInstanceState | None", task_instance: "RuntimeTaskInstance | TaskInstance"
) -> None:
    _task_ended(previous_state, task_instance)


@hookimpl
def on_task_instance_skipped(
    previous_state: "TaskInstanceState | None", task_instance: "RuntimeTaskInstance | TaskInstance"
) -> None:
    _task_ended(previous_state, task_instance)


@hookimpl
def on_dag_run_failed(dag_run: "DagRun", msg: str) -> None:
    _run_ended(dag_run)


@hookimpl
def on_dag_run_success(dag_run: "DagRun", msg: str) -> None:
    _run_ended(dag_run)


def _task_ended(
    previous_state: "TaskInstanceState | None", task_instance: "RuntimeTaskInstance | TaskInstance"
) -> None:
    # no previous state: set by hand. A try that fails by itself brings one, and goes on to the next try
    if previous_state is None and (task_instance.dag_id, task_instance.task_id) == (SUBMIT_DAG_ID, SUBMIT_TASK_ID):
        _end_drivers(f"task of run {task_instance.run_id}")


def _run_ended(dag_run: "DagRun") -> None:
    if dag_run.dag_id == SUBMIT_DAG_ID:
        _end_drivers(f"run {dag_run.run_id}")


def _end_drivers(what: str) -> None:
    """In a thread: the master may be away for a while, and the person waits for the page."""
    threading.Thread(target=_kill, args=(what, time.time()), daemon=True).start()


def _kill(what: str, ended_at_s: float) -> None:
    try:
        killed = kill_all(spark_connection(SUBMIT_CONN_ID).master, started_before_s=ended_at_s)
        log.info("%s was ended: killed drivers %s", what, killed)
    except (MasterAway, SubmissionRefused):
        log.exception("%s was ended, its driver not; the monitor's reaper will kill it", what)
