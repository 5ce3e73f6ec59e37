"""Follows a Spark driver for a deferred task, and ends it when a person ends the task."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from crypto_pipeline.submit.connection import read_connection
from crypto_pipeline.submit.master import (
    ALIVE,
    MASTER_AWAY,
    NOT_FOUND,
    REFUSED,
    SubmissionRefused,
    authorization,
    read_answer,
    read_state,
)

# A master that has just come back may answer once before it has read what it knew.
NOT_FOUND_TIMES = 3
# A task that is resumed before the scheduler has heard that the process which deferred it has ended is taken for
# a failed one ("finished with state success, but the task instance's state attribute is running") and gets a new
# try. It hears of it a second or two after the deferral.
SETTLE_S = 5.0
KILL_ATTEMPTS = 600
KILL_INTERVAL_S = 1.0

_kills: set[asyncio.Task[None]] = set()  # asyncio itself keeps only weak references


class SparkDriverTrigger(BaseTrigger):
    """Yields one event, `{"driver_id": …, "state": …}`, when the driver has ended.

    conn_id: of the cluster, read here, since Airflow's database keeps a deferred task's arguments for all to read
    who may read it. poll_s: between two questions. patience_s: for how long a master may be away before the event
    says MASTER_AWAY; the driver may well be alive then, as where it says REFUSED. settle_s: before the first
    question.
    """

    def __init__(
        self,
        conn_id: str,
        driver_id: str,
        poll_s: float = 2,
        patience_s: float = 900,
        settle_s: float = SETTLE_S,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # it carries no types
        self.conn_id = conn_id
        self.driver_id = driver_id
        self.poll_s = poll_s
        self.patience_s = patience_s
        self.settle_s = settle_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "conn_id": self.conn_id,
            "driver_id": self.driver_id,
            "poll_s": self.poll_s,
            "patience_s": self.patience_s,
            "settle_s": self.settle_s,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.settle_s)
        last_state, last_answer_at, times_not_found = "", time.monotonic(), 0
        async with httpx.AsyncClient(timeout=10) as client:
            while True:
                state = await self._state(client)
                if state != last_state:
                    self.log.info("driver %s: %s", self.driver_id, state)
                    last_state = state
                times_not_found = times_not_found + 1 if state == NOT_FOUND else 0
                if state != MASTER_AWAY:
                    last_answer_at = time.monotonic()
                ended = state not in ALIVE and state not in (MASTER_AWAY, NOT_FOUND)
                if (
                    ended
                    or times_not_found >= NOT_FOUND_TIMES
                    or time.monotonic() - last_answer_at > self.patience_s
                ):
                    yield TriggerEvent({"driver_id": self.driver_id, "state": state})
                    return
                await asyncio.sleep(self.poll_s)

    async def on_kill(self) -> None:
        """A person failed or cleared the task, or ended its run: so ends the driver.

        The triggerer cancels a second time about a second later, whatever its `on_kill_timeout` says, and that
        would cancel this too. The master may be away just then, so the kill is a task of its own that goes on.
        """
        kill = asyncio.create_task(self._kill())
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _kill(self) -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            for _ in range(KILL_ATTEMPTS):
                try:
                    answer = await self._call(client, "POST", "kill")
                except (httpx.HTTPError, ValueError, SubmissionRefused) as error:
                    self.log.warning("driver %s: not killed yet: %r", self.driver_id, error)
                else:
                    if answer.get("success"):
                        self.log.info("driver %s: %s", self.driver_id, answer.get("message"))
                        return
                    state = await self._state(client)
                    if state not in ALIVE and state != MASTER_AWAY:
                        self.log.info("driver %s: %s already", self.driver_id, state)
                        return
                await asyncio.sleep(KILL_INTERVAL_S)
        self.log.error("driver %s: could not be killed; the monitor's reaper will", self.driver_id)

    async def _state(self, client: httpx.AsyncClient) -> str:
        try:
            return read_state(await self._call(client, "GET", "status"))
        except SubmissionRefused:
            return REFUSED
        except (httpx.HTTPError, ValueError):
            return MASTER_AWAY

    async def _call(self, client: httpx.AsyncClient, method: str, what: str) -> dict[str, Any]:
        master = read_connection(await BaseHook.aget_connection(self.conn_id)).master
        address = f"{master.rest_url}/v1/submissions/{what}/{self.driver_id}"
        response = await client.request(method, address, headers={"Authorization": authorization(master.key)})
        return read_answer(master.rest_url, response)
