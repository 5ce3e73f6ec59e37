"""The network to an exchange is cut, goes silent, or becomes slow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chaos.fault import FEED, REST, Doing, Fault, fault
from chaos.ground import Site
from model.proxy import Proxy

_SLOW_CHUNK_S = 0.4  # 160 kB a second at most, and so late


def disturbed(disturb: Callable[[Proxy], None]) -> Doing:
    """The network to Binance, over WebSocket and REST, as `disturb` makes it; then it is as before."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        disturb(site.ground.network)
        try:
            yield
        finally:
            site.ground.network.mend()

    return doing


FAULTS: list[Fault] = [
    fault(
        name,
        breaks,
        disturbed(disturb),
        "exchange",
        lasts_s=lasts_s,
        loses=True,
        alerts=FEED | REST,
        brief=name == "network cut",
    )
    for name, breaks, disturb, lasts_s in (
        ("network cut", "connections to the exchange end, and no new one comes about", Proxy.cut, (5.0, 20.0)),
        ("network silent", "connections to the exchange stay open, and nothing passes", Proxy.freeze, (5.0, 5.0)),
        (
            "network slow",
            "the network to the exchange is slow, in both directions",
            lambda network: network.slow(_SLOW_CHUNK_S),
            (10.0, 30.0),
        ),
    )
]
