"""One task that owns one Spark driver: it submits it, defers to a trigger that follows it, and replaces it.

While the driver runs, the task is deferred and takes no worker slot. The driver's id lies in the task's state
store, so a new try, in whatever process, finds the driver that is there rather than start a second one.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseOperatorLink

from crypto_pipeline.submit.connection import SparkConnection, spark_connection
from crypto_pipeline.submit.master import (
    ALIVE,
    KILLED,
    MASTER_AWAY,
    REFUSED,
    MasterAway,
    SubmissionRefused,
    other_key,
)
from crypto_pipeline.submit.retry import SparkDriverDied, SparkDriverRetryPolicy, backoff_s, is_worth_a_mail
from crypto_pipeline.submit.trigger import SparkDriverTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.operator import BaseOperator
    from airflow.sdk.types import TaskInstanceKey
    from pydantic import JsonValue

XCOM_DRIVER_ID = "spark_driver_id"

SUBMIT_WITHIN_S = 120.0  # for old drivers to end, and for a master that is away
UI_WITHIN_S = 30.0  # for the application to register, which takes 5 to 10 s

_SUBMITTED_AT, _SHORT_LIVES, _CLEARED = "submitted_at", "short_lives", "cleared"


class SparkUILink(BaseOperatorLink):
    """The button on the task's page that opens the running job in Spark's own pages."""

    name = "Spark UI"
    xcom_key = "spark_ui"

    def get_link(self, operator: "BaseOperator", *, ti_key: "TaskInstanceKey") -> str:
        return getattr(operator, "ui_link", None) or ""


class SparkDriverOperator(SparkSubmitOperator):
    """Keeps exactly one driver of the connection's application alive, until a person ends the task.

    conn_id: a connection as connection.py describes. name: of the Spark application.
    application_args: of the application (templated).
    poll_s: between two looks at the driver. patience_s: for how long the master may be away before the task is
    tried again. long_life_s: a driver that lived longer died of something new, and the backoff starts afresh.

    A driver that fails or ends by itself raises SparkDriverDied; one that was killed is replaced in the same try.
    """

    template_fields: Sequence[str] = ("application_args", "name")
    operator_extra_links = (SparkUILink(),)

    def __init__(
        self,
        *,
        conn_id: str,
        name: str,
        application_args: Sequence[str],
        poll_s: float = 2,
        patience_s: float = 900,
        long_life_s: float = 120,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", SparkDriverRetryPolicy())
        super().__init__(
            conn_id=conn_id, name=name, application_args=list(application_args), deploy_mode="cluster", **kwargs
        )
        self.poll_s = poll_s
        self.patience_s = patience_s
        self.long_life_s = long_life_s
        self.ui_link: str | None = None
        self._driver_id: str | None = None
        self._ended = False

    def execute(self, context: "Context") -> None:
        self.execute_resumable(context)

    def submit_job(self, context: "Context") -> str:
        """Ends every driver that is there, then starts one. Raises SparkDriverDied.

        Whatever still runs has lost its owner: max_active_runs is 1, and no one else uses this master.
        """
        connection = self._connection()
        application = connection.run(self.name, [str(argument) for argument in self.application_args or []])
        deadline = time.monotonic() + SUBMIT_WITHIN_S
        while True:
            self._refuse_if_ended()
            try:
                old = connection.master.drivers()
                for driver in old:
                    self.log.warning(
                        "driver %s has no owner: %s", driver.driver_id, connection.master.kill(driver.driver_id)
                    )
                if not old:
                    driver_id = connection.master.submit(application)
                    break
            except MasterAway as error:
                self.log.warning("%s", error)
            except SubmissionRefused as error:
                raise SparkDriverDied(str(error), self._retry_in(context, 0)) from error
            if time.monotonic() > deadline:
                raise SparkDriverDied(
                    f"for {SUBMIT_WITHIN_S:.0f} s the Spark master {connection.master.rest_url} was away, or old "
                    "drivers did not end: see that master and worker run",
                    self._retry_in(context, 0),
                )
            time.sleep(0.5)
        self.log.info("submitted driver %s", driver_id)
        self._driver_id = driver_id
        if self._ended:  # while the master answered
            connection.master.kill(driver_id)
        self._refuse_if_ended()
        store = context["task_state_store"]
        store.set(_SUBMITTED_AT, time.time())
        store.set(_CLEARED, _cleared(context))
        return driver_id

    def get_job_status(self, external_id: "JsonValue", context: "Context") -> str:
        """The state of the driver that an earlier try left; KILLED if the task was cleared since."""
        state = self._connection().master.state(str(external_id))
        if context["task_state_store"].get(_CLEARED) != _cleared(context):
            self.log.info("the task was cleared: driver %s (%s) is replaced", external_id, state)
            return KILLED
        return "UNKNOWN" if state == MASTER_AWAY else state  # the trigger has the patience to wait for the master

    def is_job_active(self, status: str) -> bool:
        return status in ALIVE

    def is_job_succeeded(self, status: str) -> bool:
        return False  # a stream that has finished is as dead as one that failed

    def poll_until_complete(self, external_id: "JsonValue", context: "Context") -> None:
        self._driver_id = str(external_id)
        context["ti"].xcom_push(key=XCOM_DRIVER_ID, value=self._driver_id)
        self.ui_link = self._find_ui(context)
        state = self._connection().master.state(self._driver_id)
        self._refuse_if_ended()
        if state not in (*ALIVE, MASTER_AWAY):  # not even deferred yet, and over
            self.execute_complete(context, {"driver_id": self._driver_id, "state": state})
            return
        self.defer(
            trigger=SparkDriverTrigger(self._conn_id, self._driver_id, self.poll_s, self.patience_s),
            method_name="execute_complete",
            timeout=None,
        )

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> None:
        """What the trigger saw. Raises SparkDriverDied."""
        driver_id, state = str(event["driver_id"]), str(event["state"])
        if state == MASTER_AWAY:
            raise SparkDriverDied(
                f"the Spark master has not answered for {self.patience_s:.0f} s. Driver {driver_id} may live: it "
                "is not replaced. Start the master again",
                60,
            )
        master = self._connection().master
        if state == REFUSED:
            raise SparkDriverDied(
                f"{other_key(master.rest_url)}. Driver {driver_id} may live", self._retry_in(context, 0)
            )
        tail = master.log_tail(driver_id)
        self.log.info("the last lines of driver %s (%s):\n%s", driver_id, state, tail)
        if state == KILLED:  # in Spark's own pages, or by a clear that overtook this
            self.log.warning("driver %s was killed, and this task was not: replacing it", driver_id)
            self.execute(context)
            return
        lived_s = time.time() - _number(context, _SUBMITTED_AT)
        retry_in_s = self._retry_in(context, lived_s)
        short_lives = int(_number(context, _SHORT_LIVES))
        raise SparkDriverDied(
            f"Spark driver {driver_id} ended after {lived_s:.0f} s: {state}\n{tail}",
            retry_in_s,
            is_worth_a_mail(short_lives),
        )

    def on_kill(self) -> None:
        """The task was failed or cleared while it ran, before the deferral.

        Airflow calls this from a signal handler, and what it interrupted goes on afterwards.
        """
        self._ended = True
        if self._driver_id is not None:
            with suppress(MasterAway, SubmissionRefused):
                self.log.info("driver %s: %s", self._driver_id, self._connection().master.kill(self._driver_id))

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise SparkDriverDied("the task was ended while it ran", worth_a_mail=False)

    def _connection(self) -> SparkConnection:
        return spark_connection(self._conn_id)

    def _find_ui(self, context: "Context") -> str:
        """The job's page as soon as the application has registered, else the master's."""
        master = self._connection().master
        since_s = _number(context, _SUBMITTED_AT) - 2
        deadline = time.monotonic() + UI_WITHIN_S
        while time.monotonic() < deadline and not self._ended:
            try:
                page = master.application_page(self.name, since_s)
            except MasterAway:
                break
            if page is not None:
                return page
            if master.state(str(self._driver_id)) not in ALIVE:
                break
            time.sleep(0.5)
        return master.public_ui_url

    def _retry_in(self, context: "Context", lived_s: float) -> float:
        """How long to wait before the next driver: longer and longer while none lives long."""
        short_lives = 0 if lived_s > self.long_life_s else int(_number(context, _SHORT_LIVES)) + 1
        context["task_state_store"].set(_SHORT_LIVES, short_lives)
        return backoff_s(short_lives)


def _cleared(context: "Context") -> str:
    """Changes with every clear, and with nothing else.

    A clear raises max_tries, which a retry does not, unless the task ran just then; and it counts the run's
    clears, unless the run is to keep its state.
    """
    return f"{context['ti'].max_tries} {context['dag_run'].clear_number}"


def _number(context: "Context", key: str) -> float:
    """A number of the task's state store; 0 where it holds none."""
    return float(str(context["task_state_store"].get(key, 0)))
