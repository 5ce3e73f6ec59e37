"""Random markets, and what a producer might make of them: the adversary of the property tests.

Everything is drawn from one `random.Random`, so a seed is a whole story.
"""

import json
from dataclasses import replace
from decimal import Decimal
from random import Random

from producer.exchanges import EXCHANGES
from producer.trade import Trade, to_wire

T0_US = 1_732_147_200_000_000  # 2024-11-21 00:00
MINUTE_US = 60_000_000
TRADE = Trade("binance", "BTC-USDT", 1, None, Decimal("100.5"), Decimal("2"), "buy", T0_US, T0_US + 1000, "ws")


def trades(random: Random, exchange: str, symbol: str) -> list[Trade]:
    """What really happened: up to 40 trades over minutes to hours, ids consecutive or stepping, some voided."""
    traded_at_us = T0_US + random.randrange(MINUTE_US)
    trade_id = random.choice([random.randrange(5000)] * 9 + [2**63 - 10**6])
    happened = []
    for _ in range(random.randint(1, 40)):
        traded_at_us += random.choice([0, 1, 1000, 5_000_000, 20_000_000, MINUTE_US, 200_000_000])
        trade_id += 1 if EXCHANGES[exchange].consecutive_ids else random.randint(1, 30)
        happened.append(
            Trade(
                exchange,
                symbol,
                trade_id,
                None,
                Decimal(number(random)),
                Decimal(number(random)),
                "buy" if random.random() < 0.5 else "sell",
                traded_at_us,
                traded_at_us + 1000,
                "ws",
            )
        )
    return happened


def series(first_id: int, last_id: int, every_us: int = MINUTE_US, symbol: str = "BTC-USDT") -> list[Trade]:
    """Trades that differ by id and time alone."""
    return [
        replace(
            TRADE,
            symbol=symbol,
            trade_id=trade_id,
            prev_trade_id=trade_id - 1,
            traded_at_us=T0_US + trade_id * every_us,
            received_at_us=T0_US + trade_id * every_us + 1000,
        )
        for trade_id in range(first_id, last_id + 1)
    ]


def published(random: Random, happened: list[Trade]) -> list[Trade]:
    """What a producer publishes of it: with losses, duplicates, and `prev_trade_id` as the contract has it."""
    if EXCHANGES[happened[0].exchange].consecutive_ids:
        return _published_by_ids(random, happened)
    return _published_by_connections(random, happened)


def wire(random: Random, trade: Trade) -> bytes:
    """The message: mostly as the contract's writer spells it, sometimes another way."""
    if random.random() < 0.9:
        return to_wire(trade)
    fields = sorted(json.loads(to_wire(trade)).items())
    return json.dumps(dict(fields) | {"extra": [1]}, indent=random.choice([None, 1])).encode()


def number(random: Random) -> str:
    """A price or quantity: the usual, zeros, and up to both bounds of the contract."""
    kind = random.random()
    if kind < 0.03:
        return random.choice(["0", "0.000", "0.00000000"])
    if kind < 0.1:
        fraction = random.choice(["000000000000000001", str(random.randrange(1, 10**18))])
        return f"{random.randrange(10 ** random.randint(1, 20))}.{fraction}"
    if kind < 0.15:
        return "9" * 20 + "." + "9" * 18
    if kind < 0.2:
        return "9999999999.99999999"
    if kind < 0.3:
        return f"0{random.randrange(100)}.{random.randrange(1000)}"
    return f"{random.randrange(100_000)}.{random.randrange(10**8):08d}"


def no_trades(exchange: str, symbol: str) -> dict[str, bytes | None]:
    """One message of each kind that the contract refuses, by the reason that it must be refused with."""
    good = Trade(exchange, symbol, 10**6, 10**6 - 1, Decimal("1.5"), Decimal(2), "buy", T0_US, T0_US + 1000, "ws")
    wire_of_good = to_wire(good)

    def changed(**fields: object) -> bytes:
        return json.dumps(json.loads(wire_of_good) | fields, separators=(",", ":")).encode()

    return {
        "no value": None,
        "not JSON": wire_of_good[:-1],
        "not a JSON object": b"[1]",
        "source missing": wire_of_good.replace(b',"source":"ws"', b""),
        "a field stands twice": wire_of_good.replace(b'"source":"ws"', b'"source":"ws","source":"ws"'),
        "trade_id of the wrong type": changed(trade_id="1000000"),
        "traded_at_us of the wrong type": changed(traded_at_us=float(T0_US)),
        "prev_trade_id of the wrong type": changed(prev_trade_id=True),
        "price of the wrong type": changed(price=1.5),
        "unknown exchange 'okx'": changed(exchange="okx"),
        "symbol malformed: 'btc-usdt'": changed(symbol="btc-usdt"),
        "symbol malformed: 'BTC\\x00-USDT'": changed(symbol="BTC\0-USDT"),
        "trade_id out of range: -1": changed(trade_id=-1, prev_trade_id=None),
        "trade_id out of range: 9223372036854775807": changed(trade_id=2**63 - 1, prev_trade_id=None),
        "prev_trade_id out of range: 1000000": changed(prev_trade_id=10**6),
        "prev_trade_id too far below trade_id: 10": changed(exchange="kucoin", trade_id=10**7, prev_trade_id=10),
        "price malformed: '1e5'": changed(price="1e5"),
        "price malformed: '-1'": changed(price="-1"),
        "price malformed: '1.5\\x00'": changed(price="1.5\0"),
        "price malformed: '111111111111111111111'": changed(price="1" * 21),
        "quantity malformed: '0.1111111111111111111'": changed(quantity="0." + "1" * 19),
        "taker_side malformed: 'BUY'": changed(taker_side="BUY"),
        "source malformed: 'x'": changed(source="x"),
        "traded_at_us out of range (wrong unit?): 1732147200000": changed(traded_at_us=T0_US // 1000),
        "traded_at_us out of range (wrong unit?): 1732147200000000000": changed(traded_at_us=T0_US * 1000),
        "traded_at_us is more than 10 s after received_at_us": changed(received_at_us=T0_US - 10_000_001),
    }


def _published_by_ids(random: Random, happened: list[Trade]) -> list[Trade]:
    losing = random.choice([0, 0, 0.1])
    sent = []
    for trade in happened:
        if random.random() < losing:
            continue
        for _ in range(random.choice([1, 1, 2])):
            attests = trade.trade_id > 0 and random.random() < 0.9
            prev_trade_id = trade.trade_id - 1 if attests else None
            sent.append(replace(trade, prev_trade_id=prev_trade_id, source=_source(random)))
    return sent


def _published_by_connections(random: Random, happened: list[Trade]) -> list[Trade]:
    """Connections and pages, which overlap or not; each attests from its second trade on."""
    sent = []
    for _ in range(random.randint(1, 4)):
        first = random.randrange(len(happened))
        part = happened[first : random.randint(first, len(happened))]
        source = _source(random)
        for before, trade in zip([None, *part], part, strict=False):
            prev_trade_id = None if before is None else before.trade_id
            sent.append(replace(trade, prev_trade_id=prev_trade_id, source=source))
    return sent


def _source(random: Random) -> str:
    return "ws" if random.random() < 0.9 else "rest"
