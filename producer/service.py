"""The producer as a process: wires settings, feeds, healers and publisher, and ends them in order."""

import gc
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from producer.exchanges.adapter import Rate, adapter_of
from producer.feed import Feed
from producer.healer import Healer
from producer.history import History
from producer.metrics import Health, Metrics, serve
from producer.pace import Pace
from producer.publisher import Publisher
from producer.reader import Timing
from producer.settings import ProducerSettings
from producer.silence import Silence
from producer.symbols import ActiveSymbol, load_symbols
from producer.trade import Trade

_SILENT_AFTER_S = 1800.0  # a symbol without a trade for so long may be halted, delisted or renamed
_READ_STOP_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Market:
    """The running parts of one exchange."""

    exchange: str
    symbols: list[str]
    history: History
    healer: Healer
    feeds: list[Feed]


class Service:
    """One producer process. `run` returns its exit code."""

    def __init__(self, settings: ProducerSettings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._stopping = threading.Event()
        self._failure: str | None = None

    def stop(self) -> None:
        """Asks `run` to stop reading, flush and return."""
        self._stopping.set()

    def run(self) -> int:
        """Produces until `stop`. 0 when everything read was delivered, otherwise 1.

        Raises SymbolsError, and OSError where the metrics port is taken.
        """
        settings = self._settings
        symbols = shard(
            load_symbols(settings.symbols_file, settings.active_symbols),
            settings.shard_index,
            settings.shard_count,
        )
        by_exchange: dict[str, list[str]] = defaultdict(list)
        for symbol in symbols:
            by_exchange[symbol.exchange].append(symbol.name)
        health = Health(by_exchange, settings.stale_after_s)
        server = serve(self._metrics, health, settings.metrics_host, settings.metrics_port)
        publisher = Publisher(
            settings.kafka_bootstrap_servers,
            settings.kafka_topic,
            buffer_bytes=settings.buffer_mb * 2**20,
            metrics=self._metrics,
            health=health,
        )
        threading.excepthook = self._on_thread_death
        # What lives long is few and large, what lives short is many and holds no cycles: the default thresholds
        # cost a tenth of the throughput.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        markets = [self._market(exchange, names, publisher) for exchange, names in by_exchange.items()]
        log.info(
            "producer starts",
            symbols={market.exchange: len(market.symbols) for market in markets},
            connections={market.exchange: len(market.feeds) for market in markets},
            metrics="http://{}:{}/metrics".format(*server.server_address[:2]),
        )
        publisher.start()
        for market in markets:
            market.healer.start()
            for feed in market.feeds:
                feed.start()
        self._watch(markets, publisher)
        try:
            return self._end(markets, publisher)
        finally:
            server.shutdown()
            server.server_close()

    def _market(self, exchange: str, symbols: list[str], publisher: Publisher) -> _Market:
        settings, adapter = self._settings, adapter_of(exchange)
        history = History(
            exchange,
            settings.rest_url(exchange),
            weight_share=settings.rest_weight_share / settings.shard_count,
        )
        healer = Healer(exchange, history, publisher.put, self._metrics, page=adapter.TRADES_PER_PAGE)

        def deliver(trades: list[Trade]) -> None:
            healer.watch(trades)
            publisher.put(trades)

        limits = adapter.LIMITS
        connects = Pace(Rate(max(1, limits.connects.count // settings.shard_count), limits.connects.per_s))
        groups = divide(symbols, limits.symbols_per_connection)
        feeds = [
            Feed(
                exchange,
                adapter,
                group,
                base_url=settings.websocket_url(exchange),
                ticket=history.ticket,
                deliver=deliver,
                interrupted=healer.interrupted,
                connects=connects,
                metrics=self._metrics,
                timing=Timing(stale_after_s=settings.stale_after_s),
                name=str(number),
            )
            for number, group in enumerate(groups)
        ]
        return _Market(exchange, symbols, history, healer, feeds)

    def _watch(self, markets: Sequence[_Market], publisher: Publisher) -> None:
        """Logs the counts now and then, until it is time to stop."""
        silence = {market.exchange: Silence(market.symbols, _SILENT_AFTER_S) for market in markets}
        before = self._counts()
        while not self._stopping.wait(self._settings.log_every_s):
            counts = self._counts()
            buffered, buffered_bytes = publisher.buffered()
            log.info(
                "produced",
                **{name: int(count - before.get(name, 0)) for name, count in counts.items() if count},
                buffered_trades=buffered,
                buffered_mb=round(buffered_bytes / 2**20, 1),
            )
            before = counts
            for market in markets:
                silent, newly = silence[market.exchange].look(market.healer.tops())
                self._metrics.silent_symbols.labels(market.exchange).set(len(silent))
                if newly:
                    log.warning(
                        "no trade for long: halted, delisted or renamed?",
                        exchange=market.exchange,
                        symbols=newly,
                        after_s=_SILENT_AFTER_S,
                    )

    def _counts(self) -> dict[str, float]:
        """The counters that people follow, by exchange, as `binance_trades`."""
        metrics, counts = self._metrics, defaultdict[str, float](float)
        for name, counter in (
            ("trades", metrics.trades),
            ("reconnects", metrics.reconnects),
            ("holes", metrics.holes),
            ("healed_trades", metrics.healed_trades),
            ("holes_left", metrics.holes_left),
            ("rejected_frames", metrics.rejected_frames),
            ("unknown_frames", metrics.unknown_frames),
        ):
            for family in counter.collect():
                for sample in family.samples:
                    if sample.name.endswith("_total"):
                        counts[f"{sample.labels['exchange']}_{name}"] += sample.value
        return dict(counts)

    def _end(self, markets: Sequence[_Market], publisher: Publisher) -> int:
        log.info("stopping: reads no more", reason=self._failure or "asked to")
        for market in markets:
            market.healer.stop()
            for feed in market.feeds:
                feed.stop()
        deadline = time.monotonic() + _READ_STOP_S
        for market in markets:
            for feed in market.feeds:
                feed.join(max(0.0, deadline - time.monotonic()))
        undelivered = publisher.close(self._settings.flush_timeout_s)
        for market in markets:
            market.history.close()
        if undelivered:
            log.error("stopped with trades undelivered", undelivered=undelivered)
        else:
            log.info("stopped, everything delivered", **{name: int(n) for name, n in self._counts().items() if n})
        return 1 if undelivered or self._failure else 0

    def _on_thread_death(self, args: threading.ExceptHookArgs) -> None:
        """No thread may be missing silently: the process ends, and whoever runs it starts it again."""
        name = args.thread.name if args.thread else "a thread"
        self._failure = f"{name} died: {args.exc_value!r}"
        log.error("a thread died", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
        self._stopping.set()


def shard(symbols: Sequence[ActiveSymbol], index: int, count: int) -> list[ActiveSymbol]:
    """The symbols of one of `count` processes: every count-th, so that important ones are spread."""
    return list(symbols[index::count])


def divide(symbols: Sequence[str], at_most: int) -> list[list[str]]:
    """As few groups as the limit allows, of about the same size."""
    groups = -(-len(symbols) // at_most)
    return [list(symbols[number::groups]) for number in range(groups)]


def stop_on_signals(service: Service) -> None:
    """SIGTERM and SIGINT stop the service in order; a second one ends the process at once."""

    def stop(number: int, frame: Any) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        service.stop()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
