"""When the next driver starts after one has died, and which deaths are told by mail."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0


class SparkDriverDied(RuntimeError):
    """The driver has ended or can't be followed; the task is to be tried again.

    retry_in_s: after how long. worth_a_mail: not each death in a crash loop is.
    """

    def __init__(self, message: str, retry_in_s: float = FIRST_RETRY_S, worth_a_mail: bool = True) -> None:
        super().__init__(message)
        self.retry_in_s = retry_in_s
        self.worth_a_mail = worth_a_mail


class SparkDriverRetryPolicy(RetryPolicy):
    """Waits as long as the exception says. Airflow's own backoff never starts afresh after a long life."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: "Context | None" = None
    ) -> RetryDecision:
        if isinstance(exception, SparkDriverDied):
            wait_s = exception.retry_in_s
            return RetryDecision.retry(timedelta(seconds=wait_s), f"a new driver in {wait_s:.0f} s")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {}


def backoff_s(short_lives: int) -> float:
    """Seconds until the next driver after so many that died young one after another."""
    doublings = min(max(short_lives - 1, 0), 30)  # more would overflow, and 30 are far beyond the longest
    return min(FIRST_RETRY_S * 2.0**doublings, LONGEST_RETRY_S)


def is_worth_a_mail(short_lives: int) -> bool:
    """In a crash loop the 1st, 2nd, 4th, 8th ... death is; so is any that ends a long life (0)."""
    return short_lives & (short_lives - 1) == 0
