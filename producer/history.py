"""An exchange's past over REST: trades by id, recent trades, candles, newest ids, its time.

One `History` an exchange and process: it keeps the weight budget. Calls wait for the budget, repeat what may
succeed, and stop at once where the exchange says that no repetition helps.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx
import orjson
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from producer.budget import Budget
from producer.exchanges.adapter import Adapter, Candle, Newest, Request, adapter_of
from producer.trade import Trade

_MINUTE_US = 60_000_000


class HistoryError(Exception):
    """A REST call that failed for good: the exchange, the call and the exchange's answer."""


class ExchangeAway(HistoryError):
    """The call was not answered, or the exchange wants none now: later the same call may succeed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about a failed call. wait_s: at least so long; None leaves it to the backoff."""

    reason: str
    retryable: bool
    wait_s: float | None = None


class History:
    """REST calls to one exchange. Safe to use from several threads.

    base_url: the exchange's address, None for its public one. weight_share: our part of the address's weight.
    patience_s: how long one call is repeated before it counts as failed.
    budget: one that other processes share, instead of this process's own.
    """

    def __init__(
        self,
        exchange: str,
        base_url: str | None = None,
        *,
        weight_share: float,
        patience_s: float = 60.0,
        timeout_s: float = 10.0,
        budget: Budget | None = None,
    ) -> None:
        self._exchange = exchange
        self._adapter: Adapter = adapter_of(exchange)
        self._budget = budget or Budget(self._adapter.LIMITS.weight, weight_share)
        self._patience_s = patience_s
        self._client = httpx.Client(base_url=base_url or self._adapter.REST_URL, timeout=timeout_s)

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections. Calls under way fail."""
        self._client.close()

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]:
        """The trades with ids in [first_id, last_id], in pages, ids ascending.

        Ids that the exchange does not have, or not yet, are left out. Raises HistoryError, also where the
        exchange cannot page by id.
        """
        next_id = first_id
        while next_id <= last_id:
            request = self._adapter.trades_request(symbol, next_id)
            if request is None:
                raise HistoryError(f"{self._exchange} {symbol}: the exchange gives no trades by id")
            page = self._read_trades(symbol, request)
            wanted = [trade for trade in page if next_id <= trade.trade_id <= last_id]
            if wanted:
                yield wanted
            if not page or page[-1].trade_id < next_id:
                return
            next_id = page[-1].trade_id + 1

    def first_id(self, symbol: str, from_us: int) -> int | None:
        """The id of the first trade at or after a time; None where there has been none since.

        Raises HistoryError, also where the exchange has no such call.
        """
        request = self._adapter.first_id_request(symbol, from_us)
        if request is None:
            raise HistoryError(f"{self._exchange} {symbol}: the exchange finds no trades by time")
        answer = self._call(request)
        try:
            return self._adapter.read_first_id(symbol, answer)
        except ValueError as error:
            raise HistoryError(str(error)) from error

    def recent_trades(self, symbol: str) -> list[Trade]:
        """The newest trades, as many as one page holds, ids ascending. Raises HistoryError."""
        return self._read_trades(symbol, self._adapter.recent_trades_request(symbol))

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]:
        """The 1-minute candles that open in [from_us, until_us), oldest first. Raises HistoryError."""
        found: list[Candle] = []
        step_us = self._adapter.CANDLES_PER_PAGE * _MINUTE_US
        for page_from_us in range(from_us, until_us, step_us):
            page_until_us = min(page_from_us + step_us, until_us)
            request = self._adapter.candles_request(symbol, page_from_us, page_until_us)
            answer = self._call(request)
            try:
                page = self._adapter.read_candles(symbol, answer)
            except ValueError as error:
                raise HistoryError(str(error)) from error
            found += [candle for candle in page if page_from_us <= candle.opened_at_us < page_until_us]
        return found

    def newest(self, symbols: Sequence[str]) -> dict[str, Newest]:
        """The newest trade of each of these symbols that has one. Raises HistoryError."""
        if not symbols:
            return {}
        request = self._adapter.newest_request(symbols)
        if request is not None:
            answer = self._call(request)
            try:
                return self._adapter.read_newest(symbols, answer)
            except ValueError as error:
                raise HistoryError(str(error)) from error
        last = {symbol: trades[-1] for symbol in symbols if (trades := self.recent_trades(symbol))}
        return {symbol: Newest(trade.trade_id, trade.traded_at_us) for symbol, trade in last.items()}

    def now_us(self) -> int:
        """What the exchange's clock says, by which it dates its trades. Raises HistoryError."""
        answer = self._call(self._adapter.time_request())
        try:
            return self._adapter.read_time(answer)
        except ValueError as error:
            raise HistoryError(str(error)) from error

    def ticket(self) -> Any:
        """The answer to the call that must come before each connect; None where there is none."""
        request = self._adapter.ticket_request()
        return None if request is None else self._call(request)

    def _read_trades(self, symbol: str, request: Request) -> list[Trade]:
        answer = self._call(request)
        try:
            return self._adapter.read_trades(symbol, answer, time.time_ns() // 1000)
        except ValueError as error:
            raise HistoryError(str(error)) from error

    def _call(self, request: Request) -> Any:
        """The JSON answer of a call that went well."""
        backoff = wait_exponential_jitter(multiplier=0.5, max=10)

        def wait_s(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            told = error.verdict.wait_s if isinstance(error, _Again) else None
            return backoff(state) if told is None else told

        try:
            return Retrying(
                retry=retry_if_exception_type(_Again),
                stop=stop_after_delay(self._patience_s),
                wait=wait_s,
                reraise=True,
            )(self._call_once, request)
        except _Again as error:
            raise ExchangeAway(f"{self._where(request)}: {error.verdict.reason}") from error

    def _call_once(self, request: Request) -> Any:
        closed_for_s = self._budget.closed_for_s()
        if closed_for_s > self._patience_s:
            raise ExchangeAway(f"{self._where(request)}: the exchange wants no call for {closed_for_s:.0f} s more")
        self._budget.spend(request.weight)
        outcome = self._send(request)
        if (
            isinstance(outcome, httpx.Response)
            and (used := self._adapter.used_weight(outcome.headers)) is not None
        ):
            self._budget.report(used)
        verdict = judge(self._adapter, outcome)
        if verdict is None:
            assert isinstance(outcome, httpx.Response)  # the other outcome is always judged a failure
            return orjson.loads(outcome.content)
        wait_s = verdict.wait_s or 0
        self._budget.close(wait_s)
        if wait_s > self._patience_s:
            raise ExchangeAway(f"{self._where(request)}: {verdict.reason}; no call for {wait_s:.0f} s, it demands")
        if not verdict.retryable:
            raise HistoryError(f"{self._where(request)}: {verdict.reason}")
        raise _Again(verdict)

    def _send(self, request: Request) -> httpx.Response | httpx.TransportError:
        try:
            return self._client.request(
                request.method, request.path, params=dict(request.params), headers=dict(request.headers)
            )
        except httpx.TransportError as error:
            return error

    def _where(self, request: Request) -> str:
        query = "&".join(f"{name}={value}" for name, value in request.params.items())
        return f"{self._exchange} {request.method} {request.path}?{query}"


def judge(adapter: Adapter, outcome: httpx.Response | httpx.TransportError) -> Verdict | None:
    """The one place that decides whether a failed call is repeated. None: it did not fail."""
    if isinstance(outcome, httpx.TransportError):
        # the calls here only read, so repeating one whose fate is unknown is safe
        return Verdict(f"no answer: {outcome!r}", retryable=True)
    try:
        answer = orjson.loads(outcome.content)
    except orjson.JSONDecodeError:
        answer = None
    refusal = adapter.read_refusal(outcome.status_code, answer)
    if refusal is not None:
        wait_s = adapter.retry_after_s(outcome.headers) if refusal.retryable else None
        return Verdict(refusal.reason, refusal.retryable, wait_s)
    if answer is None:
        return Verdict(f"the answer is not JSON: {outcome.text[:200]!r}", retryable=True)
    return None


class _Again(Exception):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
