"""What a trigger of the submit DAG brings about."""

import json
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # real processes, many of them


def test_a_trigger_brings_a_driver_and_a_deferred_task_that_holds_no_slot(clean: Any) -> None:
    run_id = clean.trigger(trigger_interval="2 seconds", batch_size=5000)
    clean.wait(lambda: clean.is_deferred(run_id) and clean.working(), "a working driver, a deferred task")
    assert clean.driver_ids() == [clean.xcom(run_id, "spark_driver_id")]
    assert json.loads((clean.folder / "arguments.json").read_text()) == [
        "--trigger-interval",
        "2 seconds",
        "--batch-size",
        "5000",
    ]
    pool = clean.api("GET", "pools/default_pool")
    assert (pool["running_slots"], pool["queued_slots"], pool["deferred_slots"]) == (0, 0, 1)


def test_the_tasks_page_links_to_the_running_application(clean: Any, run_id: str) -> None:
    path = f"dags/crypto_pipeline_submit_dag/dagRuns/{run_id}/taskInstances/run_stream/links"
    link = clean.api("GET", path)["extra_links"]["Spark UI"]
    assert link.startswith(f"{clean.spark.master_ui_url}/proxy/app-")
    assert link.endswith("/jobs/")
    clean.wait(lambda: "a batch of two" in httpx.get(link, timeout=10).text, "the application's page")


def test_of_two_triggers_one_waits(clean: Any, run_id: str) -> None:
    second = clean.trigger()
    driver_id = clean.working()
    clean.mark_run(run_id, "success")
    clean.wait(lambda: clean.is_deferred(second) and clean.working(), "the second run's driver")
    assert clean.working() != driver_id


@pytest.mark.parametrize("params", [{"batch_size": 1}, {"trigger_interval": "often"}, {"batch_size": 10**9}])
def test_values_out_of_bounds_are_refused(clean: Any, params: dict[str, Any]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        clean.trigger(**params)
    assert clean.driver_ids() == []
