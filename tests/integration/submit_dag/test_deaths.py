"""Processes are killed with -9: the driver is replaced when it died, and left alone when another part did."""

import os
import signal
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from crypto_pipeline.submit.master import authorization

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # real processes, many of them


def test_a_killed_driver_is_replaced_within_30_s(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    clean.kill_driver(driver_id)
    clean.wait(lambda: clean.started() not in (None, driver_id), "a new driver", within_s=30)
    clean.wait(clean.working, "it works")
    clean.wait(lambda: clean.mails(), "a mail")
    (mail,) = clean.mails()
    assert f"Spark driver {driver_id} ended after" in mail["subject"]


def test_a_driver_whose_python_process_was_killed_is_replaced_within_30_s(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    os.kill(clean.applications()[0], signal.SIGKILL)
    clean.wait(lambda: clean.started() not in (None, driver_id), "a new driver", within_s=30)
    clean.wait(clean.working, "it works")


def test_a_driver_killed_in_sparks_pages_is_replaced_in_the_same_try(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    kill = f"{clean.spark.rest_url}/v1/submissions/kill/{driver_id}"
    headers = {"Authorization": authorization(clean.spark.key)}
    assert httpx.post(kill, headers=headers, timeout=10).json()["success"]
    clean.wait(lambda: clean.started() not in (None, driver_id), "a new driver", within_s=30)
    clean.wait(clean.working, "it works")
    assert clean.task(run_id)["try_number"] == 1
    assert clean.mails() == []


def test_what_the_drivers_log_said_last_is_in_the_tasks_log_and_in_the_mail(clean: Any, run_id: str) -> None:
    (clean.folder / "crash").touch()
    clean.wait(lambda: clean.mails(), "a mail")
    (clean.folder / "crash").unlink()
    (mail,) = clean.mails()
    assert mail["to"] == ["ops@example.org"]
    for body in (mail["text"], mail["html"], clean.log(run_id, 1)):
        assert "RuntimeError: the job was told to crash in a batch" in body
    path = f"/dags/crypto_pipeline_submit_dag/runs/{quote(run_id)}/tasks/run_stream"
    assert f"{clean.airflow.url}{path}" in mail["text"]
    assert "<pre" in mail["html"]
    clean.wait(clean.working, "a new driver that works")


def test_a_crash_loop_backs_off_and_does_not_flood_with_mails(clean: Any) -> None:
    (clean.folder / "crash").touch()
    run_id = clean.trigger()
    clean.wait(lambda: clean.task(run_id)["try_number"] >= 5, "five tries", within_s=400)
    path = f"dags/crypto_pipeline_submit_dag/dagRuns/{run_id}/taskInstances/run_stream/tries"
    tries = [one for one in clean.api("GET", path)["task_instances"] if one["try_number"] <= 5]
    tries.sort(key=lambda one: one["try_number"])
    pauses_s = [
        (datetime.fromisoformat(after["start_date"]) - datetime.fromisoformat(before["end_date"])).total_seconds()
        for before, after in pairwise(tries)
    ]
    assert [int(pause_s >= expected) for pause_s, expected in zip(pauses_s, (5, 10, 20, 40), strict=True)] == [
        1
    ] * 4
    assert pauses_s[3] < 60
    assert len(clean.mails()) == 3  # of the 1st, 2nd and 4th death


@pytest.mark.parametrize(
    "names", [["scheduler"], ["triggerer"], ["api-server"], ["scheduler", "triggerer", "api-server"]]
)
def test_killed_parts_of_airflow_come_back_to_the_same_driver_and_try(
    clean: Any, run_id: str, names: list[str]
) -> None:
    driver_id = clean.working()
    for name in names:
        clean.services[name].kill()
    for name in names:
        clean.services[name].start(wait=False)
    for name in names:
        clean.services[name].wait()
    clean.wait(lambda: clean.is_deferred(run_id), "a deferred task")
    assert (clean.working(), clean.task(run_id)["try_number"]) == (driver_id, 1)
    # and it is followed again
    clean.kill_driver(driver_id)
    clean.wait(lambda: clean.working() not in (None, driver_id), "a new driver that works")


def test_a_killed_master_comes_back_to_the_same_driver_and_try(clean: Any, run_id: str) -> None:
    driver_id, process = clean.working(), clean.applications()[0]
    clean.services["master"].kill()
    clean.services["master"].start()
    clean.wait(lambda: clean.working() == driver_id, "the master knows the driver")
    assert (clean.applications()[0], clean.task(run_id)["try_number"]) == (process, 1)


def test_a_worker_that_is_back_after_long_gets_one_new_driver(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    clean.services["worker"].kill()
    clean.wait(clean.gone, "the old driver gone with its worker")
    clean.wait(lambda: driver_id not in clean.driver_ids(), "the master gives the worker up")
    clean.wait(lambda: len(clean.driver_ids()) == 1, "a new driver waits for a worker")
    clean.services["worker"].start()
    clean.wait(lambda: clean.working() not in (None, driver_id), "the new driver works")
    clean.wait(lambda: clean.is_deferred(run_id), "a deferred task")
    assert clean.xcom(run_id, "spark_driver_id") == clean.working()


def test_a_master_that_forgot_everything_gets_one_new_driver(clean: Any, run_id: str) -> None:
    """As one without `spark.deploy.recoveryMode` does."""
    driver_id = clean.working()
    clean.services["master"].kill()
    for file in (clean.spark.folder / "recovery").iterdir():
        file.unlink()
    clean.services["master"].start()
    clean.wait(lambda: clean.working() not in (None, driver_id), "a new driver that works")
