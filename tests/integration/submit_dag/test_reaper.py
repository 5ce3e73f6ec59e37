"""The reaper kills what no run owns, and nothing else, also beside a submit."""

from typing import Any

import pytest

from crypto_pipeline.submit.master import Application, SparkMaster

DAG_ID = "crypto_pipeline_submit_dag"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # real processes, many of them


def reaped(clean: Any, **params: Any) -> dict[str, Any]:
    """What one run of the reaper saw and did."""
    run_id = clean.airflow.api.trigger("reap", params)
    clean.wait(lambda: clean.api("GET", f"dags/reap/dagRuns/{run_id}")["state"] == "success", "the reaper's run")
    path = f"dags/reap/dagRuns/{run_id}/taskInstances/reap_strays/xcomEntries/return_value"
    return dict(clean.api("GET", path)["value"])


def submit_by_hand(clean: Any) -> str:
    spark, installed = clean.spark, clean.airflow.spark
    master = SparkMaster(spark.master_url, spark.rest_url, spark.master_ui_url, spark.master_ui_url, spark.key)
    application = Application(
        str(installed.application), "Stray", [], str(installed.home), installed.version, installed.conf
    )
    return str(master.submit(application))


def test_a_driver_that_no_run_owns_is_killed_and_the_owned_one_is_not(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    stray = submit_by_hand(clean)
    assert reaped(clean, grace_s=60) == {"owned": [driver_id], "killed": []}
    assert reaped(clean, grace_s=0) == {"owned": [driver_id], "killed": [stray]}
    clean.wait(lambda: clean.driver_ids() == [driver_id], "only the owned driver")
    clean.most_drivers = 1  # two of them was this test's own doing


def test_a_driver_whose_run_ended_unheard_is_killed(clean: Any, run_id: str) -> None:
    """As when the triggerer is dead and the master away, and API server and scheduler die before it is back."""
    driver_id = clean.working()
    clean.services["triggerer"].kill()
    clean.services["master"].kill()
    clean.mark_task(run_id, "failed")
    clean.wait(
        lambda: clean.api("GET", f"dags/{DAG_ID}/dagRuns/{run_id}")["state"] == "failed", "the end of the run"
    )
    for heard in ("api-server", "scheduler"):  # each of them would kill the driver once the master is back
        clean.services[heard].kill()
    for name in ("api-server", "scheduler", "master"):
        clean.services[name].start()
    clean.wait(lambda: clean.working() == driver_id, "the driver lives on")
    assert reaped(clean, grace_s=0) == {"owned": [], "killed": [driver_id]}
    clean.wait(clean.gone, "the driver gone", within_s=5)


def test_a_reaper_beside_submits_and_clears_kills_nothing(clean: Any) -> None:
    run_id = clean.trigger()
    saw = [reaped(clean) for _ in range(3)]
    for _ in range(2):
        clean.clear(run_id)
        saw += [reaped(clean) for _ in range(3)]
    clean.wait(lambda: clean.is_deferred(run_id) and clean.working(), "a working driver and a deferred task")
    assert [one["killed"] for one in saw] == [[]] * 9
    assert clean.task(run_id)["try_number"] >= 2  # two clears that come before one new try are one
    assert reaped(clean) == {"owned": [clean.working()], "killed": []}
    # a try that a clear ended before it deferred is told as what it is; nothing else is
    assert [mail["subject"] for mail in clean.mails() if "ended from outside" not in mail["subject"]] == []
