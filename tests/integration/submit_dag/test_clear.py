"""A clear replaces the driver, always, and there are never two."""

from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # real processes, many of them


def replaced(clean: Any, run_id: str, driver_id: str | None) -> None:
    clean.wait(lambda: clean.working() not in (None, driver_id), "a new driver that works")
    clean.wait(lambda: clean.is_deferred(run_id), "a deferred task")
    assert clean.xcom(run_id, "spark_driver_id") == clean.working()


def test_a_clear_replaces_the_driver(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    clean.clear(run_id)
    replaced(clean, run_id, driver_id)
    assert clean.task(run_id)["try_number"] == 2


def test_a_clear_right_after_the_deferral_replaces_the_driver(clean: Any) -> None:
    run_id = clean.trigger()
    clean.wait(lambda: clean.is_deferred(run_id), "a deferred task")
    driver_id = clean.xcom(run_id, "spark_driver_id")
    clean.clear(run_id)
    replaced(clean, run_id, driver_id)


def test_a_clear_replaces_the_driver_while_the_triggerer_is_dead(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    clean.services["triggerer"].kill()
    clean.clear(run_id)
    replaced(clean, run_id, driver_id)
    clean.services["triggerer"].start()


def test_a_clear_while_the_task_submits_replaces_the_driver(clean: Any) -> None:
    run_id = clean.trigger()
    clean.wait(clean.driver_ids, "a driver submitted")
    (driver_id,) = clean.driver_ids()
    assert clean.task(run_id)["state"] == "running"
    clean.clear(run_id)
    replaced(clean, run_id, driver_id)


def test_three_clears_in_a_row_leave_one_driver(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    for _ in range(3):
        clean.clear(run_id)
    replaced(clean, run_id, driver_id)


def test_a_clear_after_failed_brings_a_driver_again(clean: Any, run_id: str) -> None:
    driver_id = clean.working()
    clean.mark_task(run_id, "failed")
    clean.clear(run_id)
    replaced(clean, run_id, driver_id)
