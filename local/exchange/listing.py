"""What is listed: the symbols of both exchanges, the precision of their prices, where their ids start."""

import hashlib
import math
from dataclasses import dataclass

from local.exchange.decimals import Zeros, formatter

# Rounded prices in USDT of well-known assets, so that charts look familiar. Others get a price of their own.
_PRICES = {
    "BTC": 67000.0, "ETH": 3500.0, "SOL": 150.0, "BNB": 600.0, "XRP": 0.52, "DOGE": 0.12, "TRX": 0.23, "ADA": 0.45,
    "AVAX": 28.0, "LINK": 14.0, "DOT": 6.2, "POL": 0.5, "LTC": 75.0, "BCH": 370.0, "UNI": 8.0, "ATOM": 6.8,
    "XLM": 0.1, "ETC": 22.0, "NEAR": 5.1, "APT": 7.4, "FIL": 4.3, "ARB": 0.8, "OP": 1.7, "INJ": 23.0, "SUI": 0.9,
    "PEPE": 0.0000112, "SHIB": 0.0000175, "AAVE": 95.0, "MKR": 2400.0, "ICP": 8.7, "HBAR": 0.077, "VET": 0.024,
    "ALGO": 0.14, "GRT": 0.2, "SAND": 0.33, "KCS": 9.5, "TON": 7.0, "WIF": 2.1, "FET": 1.4, "SEI": 0.35,
    "USDT": 1.0, "USDC": 1.0, "FDUSD": 1.0, "TUSD": 1.0, "EUR": 1.08,
}  # fmt: skip
_NO_BASES = {"USDT", "USDC", "FDUSD", "TUSD", "EUR"}

NATIVE_SEPARATOR = {"binance": "", "kucoin": "-"}


class UnknownSymbolSpec(ValueError):
    """An entry of EXCHANGE_SYMBOLS that names nothing; the message says which and how to write it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol of an exchange.

    symbol: canonical, `BTC-USDT`. native: as the exchange spells it.
    price: in quote currency, about where its market is. Prices are integers of 10^-price_decimals, quantities of
    10^-quantity_decimals, everywhere inside; zeros: how they are printed (see `decimals.formatter`).
    first_id: the id of the trade with index 0. id_step: 1 where ids are consecutive, else their mean distance.
    """

    exchange: str
    symbol: str
    native: str
    price: float
    price_decimals: int
    quantity_decimals: int
    zeros: Zeros
    first_id: int
    id_step: int

    @property
    def key(self) -> str:
        return f"{self.exchange}:{self.symbol}"


class Texts:
    """How a symbol's numbers are printed: price, quantity, and quote for products of the two."""

    def __init__(self, listing: Listing) -> None:
        self.price = formatter(listing.price_decimals, listing.zeros)
        self.quantity = formatter(listing.quantity_decimals, listing.zeros)
        self.quote = formatter(listing.price_decimals + listing.quantity_decimals, listing.zeros)


def listing(exchange: str, symbol: str, seed: int) -> Listing:
    """The listing of a symbol, the same for the same seed."""
    base, quote = symbol.split("-")
    price = _usdt_price(base, seed) / _usdt_price(quote, seed)
    magnitude = math.floor(math.log10(price))
    # Sums of price times quantity stay within 8 decimals, as Binance prints them.
    price_decimals = min(8, max(2, 5 - magnitude))
    quantity_decimals = min(5, 8 - price_decimals, max(0, magnitude + 1))
    number = _hash(f"{seed}:{exchange}:{symbol}:id")
    consecutive = exchange == "binance"
    return Listing(
        exchange,
        symbol,
        native_name(exchange, symbol),
        price,
        price_decimals,
        quantity_decimals,
        "padded" if consecutive else "trimmed",
        1_000_000 + number % 3_000_000_000 if consecutive else 1_600_000_000_000 + number % 10_000_000_000,
        1 if consecutive else 16,
    )


def native_name(exchange: str, symbol: str) -> str:
    """How the exchange spells a canonical symbol."""
    return symbol.replace("-", NATIVE_SEPARATOR[exchange])


def expand(spec: list[str]) -> list[tuple[str, str]]:
    """(exchange, symbol) of every entry: `binance:BTC-USDT`, or `kucoin:50` for fifty symbols against USDT.

    Raises UnknownSymbolSpec.
    """
    found: dict[tuple[str, str], None] = {}
    for entry in spec:
        exchange, _, what = entry.strip().partition(":")
        if exchange not in NATIVE_SEPARATOR or not what:
            raise UnknownSymbolSpec(f"{entry!r}: write binance:BTC-USDT, kucoin:BTC-USDT or binance:200")
        if what.isascii() and what.isdigit():
            found |= {(exchange, symbol): None for symbol in _first_symbols(int(what))}
        elif what.count("-") == 1 and all(what.split("-")):
            found[exchange, what] = None
        else:
            raise UnknownSymbolSpec(f"{entry!r}: a symbol has the form BASE-QUOTE, as in binance:BTC-USDT")
    return list(found)


def _first_symbols(count: int) -> list[str]:
    known = [base for base in _PRICES if base not in _NO_BASES]
    return [f"{base}-USDT" for base in (known + [f"COIN{n}" for n in range(1, count + 1)])[:count]]


def _usdt_price(asset: str, seed: int) -> float:
    if asset in _PRICES:
        return _PRICES[asset]
    return float(10.0 ** (_hash(f"{seed}:{asset}:price") % 4000 / 1000 - 2))  # 0.01 to 100


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
