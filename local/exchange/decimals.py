"""Integers of small units as the decimal strings that an exchange prints."""

from collections.abc import Callable
from typing import Literal

# padded: to 8 decimals, as Binance spot does. kept: the market's own. trimmed: without trailing zeros, as KuCoin.
Zeros = Literal["padded", "kept", "trimmed"]
_PADDED_TO = 8


def formatter(decimals: int, zeros: Zeros) -> Callable[[int], str]:
    """A function that prints an integer of 10^-decimals."""
    unit = 10**decimals
    pad = "0" * (_PADDED_TO - decimals) if zeros == "padded" else ""
    if decimals == 0:
        whole = f"%d.{pad}" if pad else "%d"
        return lambda value: whole % value
    template = f"%d.%0{decimals}d{pad}"
    if zeros == "trimmed":
        return lambda value: (template % divmod(value, unit)).rstrip("0").rstrip(".")
    return lambda value: template % divmod(value, unit)
