"""One REST budget for all tasks of a part of the pipeline, whatever process they run in.

Mapped tasks come and go, so dividing the share among them would either waste it or exceed it. The database holds
what was spent and what the exchange said: after a ban of one task, no other one calls.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from crypto_pipeline.statements import rows
from producer.budget import Budget
from producer.exchanges.adapter import adapter_of

if TYPE_CHECKING:
    from psycopg2.extensions import connection


class SharedBudget(Budget):
    """The weight that `part` may spend on an exchange. For `producer.history.History`.

    db: this budget's own connection. part: `monitor` or `history`; its tasks share what it may spend.
    share: the part's, of the weight of our address.
    """

    def __init__(
        self,
        db: "connection",
        exchange: str,
        part: str,
        share: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(adapter_of(exchange).LIMITS.weight, share, sleep=sleep)
        self._db = db
        self._exchange, self._part = exchange, part
        self._one_at_a_time = threading.Lock()

    def report(self, used: int) -> None:
        """The exchange says that our address has used so much in the current window."""
        self._run("report_weight", used=used)

    def close(self, for_s: float) -> None:
        """The exchange wants no call for so many seconds."""
        if for_s > 0:
            self._run("close_exchange", for_s=for_s)

    def closed_for_s(self) -> float:
        """How long no call may go out, because the exchange said so; 0 when it is open."""
        return self._run("closed_for_s")

    def _try_to_spend(self, weight: int) -> float:
        return self._run(
            "spend_weight", part=self._part, weight=weight, own=self._own, all=self._all, window_s=self._window_s
        )

    def _run(self, query: str, **values: object) -> float:
        with self._one_at_a_time:
            found = rows(self._db, query, exchange=self._exchange, **values)
        return float(found[0][0]) if found else 0.0
