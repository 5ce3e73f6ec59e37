"""The operator's and the trigger's own decisions, without a cluster: the real ones are in tests/integration."""

import asyncio
from typing import Any

import pytest

from crypto_pipeline.submit import trigger as triggers
from crypto_pipeline.submit.master import MASTER_AWAY, NOT_FOUND, REFUSED
from crypto_pipeline.submit.reaper import owned_drivers
from crypto_pipeline.submit.retry import SparkDriverDied, SparkDriverRetryPolicy, backoff_s, is_worth_a_mail
from crypto_pipeline.submit.trigger import SparkDriverTrigger


def test_the_backoff_doubles_up_to_five_minutes() -> None:
    assert [backoff_s(lives) for lives in (0, 1, 2, 3, 6, 7, 8, 500, 5000)] == [
        *(5, 5, 10, 20, 160),
        *(300, 300, 300, 300),
    ]


def test_a_crash_loop_does_not_flood_with_mails() -> None:
    assert [lives for lives in range(40) if is_worth_a_mail(lives)] == [0, 1, 2, 4, 8, 16, 32]


def test_the_retry_waits_as_long_as_the_exception_says() -> None:
    policy = SparkDriverRetryPolicy()
    decision = policy.evaluate(SparkDriverDied("died", 40), 3, 1_000_000)
    assert decision.retry_delay is not None
    assert decision.retry_delay.total_seconds() == 40
    assert policy.evaluate(ValueError("a bug"), 3, 1_000_000).retry_delay is None


class Sequence(SparkDriverTrigger):
    """A trigger that is told the states instead of asking for them."""

    def __init__(self, states: list[str], **kwargs: Any) -> None:
        super().__init__("no connection", "driver-1", poll_s=0, settle_s=0, **kwargs)
        self.states = states

    async def _state(self, client: object) -> str:
        return self.states.pop(0)


def first_event(trigger: SparkDriverTrigger) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("no event")

    return asyncio.run(asyncio.wait_for(first(), 10))


@pytest.mark.parametrize("state", ["FINISHED", "FAILED", "KILLED", "ERROR", REFUSED])
def test_the_trigger_tells_the_end_of_a_driver(state: str) -> None:
    trigger = Sequence(["SUBMITTED", "RUNNING", MASTER_AWAY, "RUNNING", state, "not asked for"])
    assert first_event(trigger) == {"driver_id": "driver-1", "state": state}
    assert trigger.states == ["not asked for"]


def test_a_driver_is_gone_only_when_the_master_says_so_three_times() -> None:
    trigger = Sequence([NOT_FOUND, NOT_FOUND, "RUNNING", NOT_FOUND, NOT_FOUND, NOT_FOUND, "not asked for"])
    assert first_event(trigger)["state"] == NOT_FOUND
    assert trigger.states == ["not asked for"]


def test_the_patience_with_a_master_that_is_away_has_an_end() -> None:
    assert first_event(Sequence([MASTER_AWAY] * 100_000, patience_s=0.01))["state"] == MASTER_AWAY


def test_a_trigger_is_made_anew_from_what_it_was_stored_as() -> None:
    path, arguments = SparkDriverTrigger("crypto_pipeline_spark", "driver-1", 3, 60, 1).serialize()
    assert path == "crypto_pipeline.submit.trigger.SparkDriverTrigger"
    assert (
        vars(SparkDriverTrigger(**arguments)).items()
        >= {
            "conn_id": "crypto_pipeline_spark",
            "driver_id": "driver-1",
            "poll_s": 3,
            "patience_s": 60,
            "settle_s": 1,
        }.items()
    )


def test_a_kill_goes_on_when_the_triggerer_cancels_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so about a second later; the master may be away just then."""
    monkeypatch.setattr(triggers, "KILL_INTERVAL_S", 0)
    asked: list[str] = []

    class Slow(SparkDriverTrigger):
        async def _call(self, client: object, method: str, what: str) -> dict[str, Any]:
            asked.append(what)
            await asyncio.sleep(0)
            if len(asked) < 5:
                raise ValueError("the master is away")
            return {"success": True, "message": "Kill request submitted"}

    async def cancel_and_wait() -> None:
        kill = asyncio.create_task(Slow("no connection", "driver-1").on_kill())
        await asyncio.sleep(0)
        kill.cancel()
        with pytest.raises(asyncio.CancelledError):
            await kill
        await asyncio.gather(*triggers._kills)

    asyncio.run(cancel_and_wait())
    assert asked == ["kill"] * 5


class FakeTask:
    """What the reaper asks of its own task."""

    def __init__(self, states: dict[str, str | None]) -> None:
        self.states = states

    def get_task_states(self, dag_id: str, task_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return {run_id: {task_ids[0]: state} for run_id, state in self.states.items()}

    def xcom_pull(self, dag_id: str, task_ids: str, run_id: str, key: str) -> str | None:
        return None if run_id == "first" else f"driver of {run_id}"


@pytest.mark.parametrize("state", ["deferred", "queued", "scheduled", "up_for_retry"])
def test_a_run_that_has_not_ended_owns_its_driver(state: str) -> None:
    task: Any = FakeTask({"old": "failed", "older": "success", "now": state})
    assert owned_drivers(task) == {"driver of now"}


@pytest.mark.parametrize("state", ["running", "restarting", None])
def test_while_a_driver_is_being_submitted_nobody_knows_who_owns_which(state: str | None) -> None:
    task: Any = FakeTask({"old": "failed", "now": state})
    assert owned_drivers(task) is None


def test_without_a_run_no_driver_is_owned() -> None:
    task: Any = FakeTask({"old": "failed", "skipped": "skipped"})
    assert owned_drivers(task) == set()
