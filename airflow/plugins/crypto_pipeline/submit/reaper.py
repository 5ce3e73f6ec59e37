"""Kills drivers that no run owns: the last of the three ways by which a driver ends with its task."""

import time
from typing import TYPE_CHECKING

from crypto_pipeline.submit.connection import SUBMIT_DAG_ID, SUBMIT_TASK_ID
from crypto_pipeline.submit.master import SparkMaster
from crypto_pipeline.submit.operator import XCOM_DRIVER_ID

if TYPE_CHECKING:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

# A driver this young may have been submitted since its owner was asked for.
GRACE_S = 60.0

_OWNS = ("deferred", "queued", "scheduled", "up_for_retry")
_FINISHED = ("success", "failed", "skipped", "upstream_failed", "removed")


def owned_drivers(
    ti: "RuntimeTaskInstance", dag_id: str = SUBMIT_DAG_ID, task_id: str = SUBMIT_TASK_ID
) -> set[str] | None:
    """The ids of the drivers that unfinished runs of the task own; None while one is being submitted or replaced.

    ti: of the task that asks. Nothing but what any task may ask for is used, neither a token nor the metadata.
    """
    owned: set[str] = set()
    for run_id, states in ti.get_task_states(dag_id=dag_id, task_ids=[task_id]).items():
        state = states.get(task_id)
        if state in _FINISHED:
            continue
        if state not in _OWNS:
            return None
        driver_id = ti.xcom_pull(dag_id=dag_id, task_ids=task_id, run_id=run_id, key=XCOM_DRIVER_ID)
        if driver_id:
            owned.add(str(driver_id))
    return owned


def reap(master: SparkMaster, owned: set[str], grace_s: float = GRACE_S) -> list[str]:
    """Kills every driver that is not owned and older than the grace; returns their ids.

    Raises MasterAway, SubmissionRefused.
    """
    now_s = time.time()
    strays = [
        driver.driver_id
        for driver in master.drivers()
        if driver.driver_id not in owned and now_s - driver.started_at_s > grace_s
    ]
    for driver_id in strays:
        master.kill(driver_id)
    return strays
