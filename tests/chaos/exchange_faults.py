"""What exchanges do to their clients: every fault of the simulator."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.fault import FEED, REST, Doing, Fault, fault
from chaos.ground import Site

from local.exchange import faults as exchange

Make = Callable[[str, Sequence[str], float], Sequence[exchange.Fault]]

_HOWS = ("truncated", "wrong_type", "missing_field", "binary")


@dataclass(frozen=True, slots=True)
class _Ordered:
    """A fault of the simulator. make: from exchange, symbols and seconds. of: the exchanges it exists on."""

    name: str
    breaks: str
    make: Make
    symbols: int = 3
    lasts_s: tuple[float, float] = (0, 0)
    of: tuple[str, ...] = ("binance", "kucoin")
    loses: bool = False
    alerts: frozenset[str] = frozenset()
    brief: bool = False


def ordered(make: Make, of: Sequence[str], symbols: int, lasts_s: tuple[float, float]) -> Doing:
    """Orders what `make` makes from the simulator; what has not ended by itself is ended."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        where = site.random.choice(of)
        chosen = site.symbols(where, symbols)
        made = make(where, chosen, lasts_s[1] + 5)
        site.note(f"{where} {', '.join(chosen)}" if any(exchange.symbols_of(one) for one in made) else where)
        numbers = [site.ground.truth.inject(one) for one in made]
        yield
        for number in numbers:
            if number is not None:
                site.ground.truth.end_faults(number)

    return doing


_ORDERED = [
    _Ordered(
        "connections closed", "all connections end", lambda e, s, d: [exchange.Disconnect(exchange=e)],
        loses=True, alerts=FEED, brief=True,
    ),
    _Ordered(
        "server shut down", "the server announces its end and closes",
        lambda e, s, d: [exchange.ServerShutdown(close_after_s=5)], of=("binance",), loses=True, alerts=FEED,
    ),
    _Ordered(
        "connections refused", "all connections end, and new ones are refused",
        lambda e, s, d: [exchange.Refuse(exchange=e, duration_s=d), exchange.Disconnect(exchange=e)],
        lasts_s=(5, 20), loses=True, alerts=FEED,
    ),
    _Ordered(
        "few trades lost", "trades are left out, too few to be an incident",
        lambda e, s, d: [exchange.Loss(exchange=e, symbols=s, count=60)],
        symbols=2, lasts_s=(10, 20), loses=True, alerts=FEED, brief=True,
    ),
    _Ordered(
        "many trades lost", "trades are left out",
        lambda e, s, d: [exchange.Loss(exchange=e, symbols=s, count=2000)], lasts_s=(10, 30),
        loses=True, alerts=FEED,
    ),
    _Ordered(
        "trades doubled", "trades come twice", lambda e, s, d: [exchange.Duplicates(exchange=e, duration_s=d)],
        lasts_s=(5, 15), brief=True,
    ),
    _Ordered(
        "trades in disorder", "trades come in another order",
        lambda e, s, d: [exchange.Disorder(exchange=e, symbols=s, duration_s=d)], lasts_s=(5, 15),
        alerts=FEED, brief=True,
    ),
    *(
        _Ordered(
            f"frames {how.replace('_', ' ')}", "frames come broken instead of trades",
            lambda e, s, d, how=how: [exchange.Malformed(exchange=e, symbols=s, count=80, how=how)],
            symbols=1, lasts_s=(5, 15), loses=True, alerts=FEED, brief=how in ("truncated", "binary"),
        )
        for how in _HOWS
    ),
    _Ordered(
        "trades of the future", "trades are dated an hour ahead",
        lambda e, s, d: [exchange.FutureDates(exchange=e, symbols=s, count=80)],
        symbols=1, lasts_s=(5, 15), of=("binance",), loses=True, alerts=FEED,
    ),
    _Ordered(
        "exchange's clock ahead", "its clock is set 7 s ahead, and back",
        lambda e, s, d: [exchange.WrongClock(exchange=e, ahead_s=7, duration_s=d)], lasts_s=(10, 30), brief=True,
    ),
    _Ordered(
        "exchange's clock behind", "its clock is set 25 s back, and right again",
        lambda e, s, d: [exchange.WrongClock(exchange=e, ahead_s=-25, duration_s=d)], lasts_s=(35, 50),
    ),
    _Ordered(
        "feed stalled", "connections stay open and carry nothing",
        lambda e, s, d: [exchange.Stall(exchange=e, symbols=s, duration_s=d)], lasts_s=(10, 40),
        loses=True, alerts=FEED,
    ),
    _Ordered(
        "feed slow", "all data comes 5 s late", lambda e, s, d: [exchange.Slow(exchange=e, duration_s=d)],
        lasts_s=(10, 25), alerts=FEED,
    ),
    _Ordered(
        "market halted", "no trade happens",
        lambda e, s, d: [exchange.Halt(exchange=e, symbols=s, duration_s=d)], symbols=2, lasts_s=(20, 50),
    ),
    _Ordered(
        "no pong", "pings are not answered", lambda e, s, d: [exchange.NoPong(duration_s=d)],
        lasts_s=(20, 40), of=("kucoin",), loses=True, alerts=FEED,
    ),
    _Ordered(
        "no ping", "the server sends no pings", lambda e, s, d: [exchange.NoPing(duration_s=d)],
        lasts_s=(20, 40), of=("binance",),
    ),
    _Ordered(
        "tokens expired", "no token is taken any more, and all connections end",
        lambda e, s, d: [exchange.TokenExpired(exchange=e, count=2), exchange.Disconnect(exchange=e)],
        of=("kucoin",), loses=True, alerts=FEED,
    ),
    *(
        _Ordered(
            f"REST says {status}", f"REST answers with {status}, and connections end",
            lambda e, s, d, status=status: [
                exchange.RestError(exchange=e, status=status, retry_after_s=10, duration_s=d),
                exchange.Disconnect(exchange=e),
            ],
            lasts_s=(5, 20), loses=True, alerts=FEED | REST,
        )
        for status in (429, 418, 500)
    ),
    _Ordered(
        "REST hangs", "REST does not answer, and connections end",
        lambda e, s, d: [
            exchange.RestTimeout(exchange=e, delay_s=10, duration_s=d), exchange.Disconnect(exchange=e)
        ],
        lasts_s=(5, 25), loses=True, alerts=FEED | REST,
    ),
    _Ordered(
        "REST lags", "REST does not know the newest trades yet, and connections end",
        lambda e, s, d: [
            exchange.RestLag(exchange=e, trades=100, duration_s=d), exchange.Disconnect(exchange=e)
        ],
        lasts_s=(5, 20), loses=True, alerts=FEED,
    ),
]  # fmt: skip

FAULTS: list[Fault] = [
    fault(
        one.name,
        one.breaks,
        ordered(one.make, one.of, one.symbols, one.lasts_s),
        "exchange",
        lasts_s=one.lasts_s,
        loses=one.loses,
        alerts=one.alerts,
        brief=one.brief,
    )
    for one in _ORDERED
]
