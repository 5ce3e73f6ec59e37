"""A person ends the task or its run, in whatever moment: the driver is gone within 5 s."""

from typing import Any

import pytest

WITHIN_S = 5

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # real processes, many of them


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
def test_marking_the_task_ends_the_driver(clean: Any, run_id: str, state: str) -> None:
    clean.mark_task(run_id, state)
    clean.wait(clean.gone, "the driver gone", within_s=WITHIN_S)


@pytest.mark.parametrize("state", ["failed", "success"])
def test_ending_the_run_ends_the_driver(clean: Any, run_id: str, state: str) -> None:
    clean.mark_run(run_id, state)
    clean.wait(clean.gone, "the driver gone", within_s=WITHIN_S)


def test_marking_the_task_right_after_its_deferral_ends_the_driver(clean: Any) -> None:
    run_id = clean.trigger()
    clean.wait(lambda: clean.is_deferred(run_id), "a deferred task")
    clean.mark_task(run_id, "failed")
    clean.wait(clean.gone, "the driver gone", within_s=WITHIN_S)


def test_marking_the_task_while_it_submits_ends_the_driver(clean: Any) -> None:
    run_id = clean.trigger()
    clean.wait(clean.driver_ids, "a driver submitted")
    assert clean.task(run_id)["state"] == "running"
    clean.mark_task(run_id, "failed")
    clean.wait(clean.gone, "the driver gone", within_s=WITHIN_S)
    clean.wait(lambda: not clean.driver_ids(), "the master knows of no driver")


def test_marking_the_task_ends_the_driver_while_the_triggerer_is_dead(clean: Any, run_id: str) -> None:
    clean.services["triggerer"].kill()
    clean.mark_task(run_id, "failed")
    clean.wait(clean.gone, "the driver gone", within_s=WITHIN_S)


def test_ending_the_run_while_a_retry_waits_ends_the_driver(clean: Any, run_id: str) -> None:
    """No task runs then and none is deferred: only the listener hears of it."""
    driver_id = clean.working()
    (clean.folder / "crash").touch()
    clean.wait(lambda: clean.task(run_id)["state"] == "up_for_retry", "a retry that waits")
    assert driver_id not in clean.driver_ids()
    clean.mark_run(run_id, "failed")
    (clean.folder / "crash").unlink()
    clean.wait(clean.gone, "the driver gone", within_s=WITHIN_S)
    assert clean.task(run_id)["state"] == "skipped"


def test_marking_the_task_while_the_master_is_away_ends_the_driver_after_its_return(
    clean: Any, run_id: str
) -> None:
    master = clean.services["master"]
    master.kill()
    clean.mark_task(run_id, "failed")
    master.start()
    clean.wait(clean.gone, "the driver gone")
