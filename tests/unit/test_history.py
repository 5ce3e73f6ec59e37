"""What is repeated and what is not."""

import httpx
import pytest

from producer.exchanges.adapter import adapter_of
from producer.history import Verdict, judge

ERROR = b'{"code":-1003,"msg":"Too much request weight used."}'


@pytest.mark.parametrize(
    ("exchange", "outcome", "verdict"),
    [
        ("binance", httpx.Response(200, content=b"[]"), None),
        ("binance", httpx.ReadTimeout("slow"), Verdict("no answer: ReadTimeout('slow')", True)),
        ("binance", httpx.ConnectError("refused"), Verdict("no answer: ConnectError('refused')", True)),
        ("binance", httpx.Response(200, content=b"<html>"), Verdict("the answer is not JSON: '<html>'", True)),
        (
            "binance",
            httpx.Response(429, content=ERROR, headers={"Retry-After": "13"}),
            Verdict("-1003 Too much request weight used.", True, 13.0),
        ),
        (
            "binance",
            httpx.Response(418, content=ERROR, headers={"Retry-After": "120"}),
            Verdict("-1003 Too much request weight used.", True, 120.0),
        ),
        ("binance", httpx.Response(502, content=b"bad"), Verdict("HTTP 502", True)),
        ("binance", httpx.Response(403, content=b"no"), Verdict("HTTP 403", False)),
        (
            "binance",
            httpx.Response(400, content=b'{"code":-1121,"msg":"Invalid symbol."}'),
            Verdict("-1121 Invalid symbol.", False),
        ),
        (
            "kucoin",
            httpx.Response(429, content=b'{"code":"429000"}', headers={"gw-ratelimit-reset": "1500"}),
            Verdict("429000 ", True, 1.5),
        ),
        (
            "kucoin",
            httpx.Response(200, content=b'{"code":"900001","msg":"no such"}', headers={"gw-ratelimit-reset": "9"}),
            Verdict("900001 no such", False),
        ),
    ],
)
def test_each_outcome_is_judged_in_one_place(
    exchange: str, outcome: httpx.Response | httpx.TransportError, verdict: Verdict | None
) -> None:
    assert judge(adapter_of(exchange), outcome) == verdict
