"""The inputs of the benchmarks: what is sent holds every trade, and is as disordered as it claims."""

from random import Random

import pytest

from benchmarks.messages import INPUTS, as_sent, trades

COUNT = 20_000


def sent(name: str) -> tuple[set[tuple[str, int]], list[tuple[str, int]], list[int]]:
    """The trades there are, those sent in their order, and how late each was sent, in microseconds."""
    kind = INPUTS[name]
    all_trades = list(trades(COUNT, range(20), kind.span_us, seed=1))
    messages = list(as_sent(iter(all_trades), kind, Random(1)))
    late_us = [message.received_at_us - message.traded_at_us for message in messages]
    return (
        {(trade.symbol, trade.trade_id) for trade in all_trades},
        [(message.symbol, message.trade_id) for message in messages],
        late_us,
    )


@pytest.mark.parametrize("name", INPUTS)
def test_every_trade_is_sent(name: str) -> None:
    there_are, messages, _ = sent(name)
    assert len(there_are) == COUNT
    assert set(messages) == there_are


def test_the_clean_input_sends_each_trade_once_in_the_order_of_ids() -> None:
    _, messages, late_us = sent("clean")
    assert len(messages) == COUNT
    by_symbol: dict[str, list[int]] = {}
    for symbol, trade_id in messages:
        by_symbol.setdefault(symbol, []).append(trade_id)
    assert all(ids == list(range(ids[0], ids[0] + len(ids))) for ids in by_symbol.values())
    assert max(late_us) < 1_000_000


def test_the_adversarial_input_has_the_duplicates_and_the_lateness_that_it_claims() -> None:
    there_are, messages, late_us = sent("adversarial")
    kind = INPUTS["adversarial"]
    assert (len(messages) - len(there_are)) / COUNT == pytest.approx(kind.duplicated, rel=0.3)
    very_late = sum(one > 6_000_000 for one in late_us) / len(messages)
    assert very_late == pytest.approx(kind.late, rel=0.3)
    assert 3_000_000_000 < max(late_us) < 3_700_000_000
