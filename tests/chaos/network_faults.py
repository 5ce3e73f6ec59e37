"""The network between two parts is cut, dies, goes silent, or becomes slow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from chaos.fault import FEED, REST, STREAM, Doing, Fault, fault
from chaos.ground import Site
from chaos.parts import AIRFLOW, JOB, ports_of
from model.proxy import Concerned, Proxy, everyone

Disturb = Callable[[Proxy, Concerned, Site], None]

_SLOW_CHUNK_S = (0.05, 0.4)  # so late, in each direction, and 160 kB to 1.3 MB a second at most

# Whose way to a server it is, by their parts.
_OF_BROKER = {"the producer": ("producer",), "the job": JOB, "Airflow": AIRFLOW, "everyone": ()}
_OF_DATABASE = {"the job": JOB, "Airflow": AIRFLOW, "everyone": ()}


def to_an_exchange(disturb: Disturb) -> Doing:
    """The network to one exchange, over WebSocket and REST, as `disturb` makes it; then it is as before."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        name = site.random.choice(("binance", "kucoin"))
        site.note(name)
        network = getattr(site.ground.around, name)
        disturb(network, everyone, site)
        try:
            yield
        finally:
            network.mend()

    return doing


def to_a_server(name: str, whose: Mapping[str, Sequence[str]], disturb: Disturb) -> Doing:
    """The network between a server and some of its clients as `disturb` makes it; then it is as before."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        who = site.random.choice(sorted(whose))
        site.note(who)
        network = getattr(site.ground.around, name)
        disturb(network, ports_of(site.demo, whose[who]) if whose[who] else everyone, site)
        try:
            yield
        finally:
            network.mend()

    return doing


def _cut(network: Proxy, concerned: Concerned, _: Site) -> None:
    network.cut(concerned)


def _dead(network: Proxy, concerned: Concerned, _: Site) -> None:
    network.freeze(concerned)


def _silent(network: Proxy, concerned: Concerned, _: Site) -> None:
    network.hold(concerned)


def _slow(network: Proxy, concerned: Concerned, site: Site) -> None:
    chunk_takes_s = round(site.random.uniform(*_SLOW_CHUNK_S), 2)
    site.note(f"{chunk_takes_s:g} s")
    network.slow(chunk_takes_s, concerned)


_CUT = "connections end, and no new one comes about"
_DEAD = "connections stay open, and nothing passes on them ever again; new ones do"
_SILENT = "connections stay open, nothing passes, and all of it comes late"
_SLOWLY = "everything comes late, and little at a time"

FAULTS: list[Fault] = [
    *(
        fault(
            f"exchange's network {how}",
            f"to an exchange {breaks}",
            to_an_exchange(disturb),
            "exchange",
            lasts_s=lasts_s,
            loses=True,
            alerts=FEED | REST,
            brief=how == "cut",
        )
        for how, breaks, disturb, lasts_s in (
            ("cut", _CUT, _cut, (5.0, 20.0)),
            ("dead", _DEAD, _dead, (5.0, 5.0)),
            ("slow", _SLOWLY, _slow, (10.0, 30.0)),
        )
    ),
    # The producer keeps what the broker does not take, and Airflow's monitor cannot tell what it cannot read.
    *(
        fault(
            f"broker's network {how}",
            f"between the broker and its clients {breaks}",
            to_a_server("broker", _OF_BROKER, disturb),
            "broker",
            lasts_s=lasts_s,
            alerts=STREAM | FEED,
            brief=how == "silent",
        )
        for how, breaks, disturb, lasts_s in (
            ("cut", _CUT, _cut, (5.0, 25.0)),
            ("dead", _DEAD, _dead, (5.0, 5.0)),
            ("silent", _SILENT, _silent, (10.0, 40.0)),
            ("slow", _SLOWLY, _slow, (10.0, 30.0)),
        )
    ),
    *(
        fault(
            f"database's network {how}",
            f"between the database and its clients {breaks}",
            to_a_server("database", _OF_DATABASE, disturb),
            "database",
            lasts_s=lasts_s,
            alerts=STREAM,
            brief=how == "cut",
        )
        for how, breaks, disturb, lasts_s in (
            ("cut", _CUT, _cut, (5.0, 25.0)),
            ("silent", _SILENT, _silent, (10.0, 45.0)),  # also longer than the job may hold the lock in silence
            ("slow", _SLOWLY, _slow, (10.0, 30.0)),
        )
    ),
]
