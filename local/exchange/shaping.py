"""What faults make of the trades of a symbol before they are sent: lost, doubled, disordered, broken, misdated."""

import json
from collections import defaultdict
from typing import NamedTuple

from local.exchange.connection import binary_frame, text_frame
from local.exchange.faults import Disorder, Duplicates, Fault, Faults, FutureDates, Loss, Malformed
from local.exchange.market import Trade

_KINDS: tuple[type[Fault], ...] = (Loss, Duplicates, Malformed, FutureDates, Disorder)


class Outgoing(NamedTuple):
    """A trade on its way. fault: what befell it; broken: how its frame is to be broken, if so."""

    trade: Trade
    fault: str | None = None
    broken: str | None = None


class Shaper:
    """Applies the active faults, trade by trade."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._held: defaultdict[tuple[str, str], list[Outgoing]] = defaultdict(list)

    def concerns(self, exchange: str, symbol: str) -> bool:
        """Whether there is anything to do for a symbol."""
        return bool(self._held.get((exchange, symbol))) or bool(
            self._faults.find(*_KINDS, exchange=exchange, symbol=symbol)
        )

    def shape(self, exchange: str, symbol: str, trades: list[Trade]) -> tuple[list[Outgoing], list[Trade]]:
        """What is to be sent, in this order, and the trades that are lost."""
        held = self._held[exchange, symbol]
        sent: list[Outgoing] = []
        lost: list[Trade] = []

        def use(kind: type[Fault]) -> Fault | None:
            active = self._faults.use(kind, exchange=exchange, symbol=symbol)
            return active.fault if active else None

        for trade in trades:
            if use(Loss):
                lost.append(trade)
                continue
            out = Outgoing(trade)
            if isinstance(fault := use(Malformed), Malformed):
                out = Outgoing(trade, "malformed", fault.how)
            elif isinstance(fault := use(FutureDates), FutureDates):
                later_us = trade.traded_at_us + int(fault.ahead_s * 1e6)
                out = Outgoing(trade._replace(traded_at_us=later_us), "future_dates")
            if isinstance(fault := use(Disorder), Disorder):
                held.append(out if out.fault else Outgoing(trade, "disorder"))
                if len(held) >= fault.group:
                    sent += reversed(held)
                    held.clear()
                continue
            sent.append(out)
            if use(Duplicates):
                sent.append(Outgoing(out.trade, "duplicates", out.broken))
        if held and not self._faults.find(Disorder, exchange=exchange, symbol=symbol):
            sent = [*reversed(held), *sent]
            held.clear()
        return sent, lost


def broken_frame(text: str, how: str) -> bytes:
    """A trade's frame, broken."""
    if how == "truncated":
        return text_frame(text[: len(text) // 2])
    if how == "binary":
        return binary_frame(b"\x00\xff\xfe broken")
    message = json.loads(text)
    data = message.get("data", message)
    for price in ("p", "price"):
        if price in data:
            if how == "missing_field":
                del data[price]
            else:
                data[price] = {"not": "a price"}
    return text_frame(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
