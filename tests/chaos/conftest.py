"""The demo that faults are let loose on."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from model.demo import Demo, fresh_demo
from model.proxy import Proxy, proxy


@pytest.fixture
def loaded_demo(
    tmp_path: Path, free_port: Callable[[], int], cache_dir: Path
) -> Callable[..., AbstractContextManager[tuple[Demo, Proxy]]]:
    """A context manager: a demo that is given so many trades a second of these symbols, not started yet; and its
    network to Binance.
    """

    @contextmanager
    def make(keys: list[tuple[str, str]], rate: float, **variables: str) -> Iterator[tuple[Demo, Proxy]]:
        exchange_port = free_port()
        with (
            proxy(exchange_port) as network,
            fresh_demo(
                tmp_path,
                cache_dir,
                free_port,
                EXCHANGE_PORT=str(exchange_port),
                BINANCE_WS_URL=f"ws://127.0.0.1:{network.port}",
                BINANCE_REST_URL=f"http://127.0.0.1:{network.port}",
                ACTIVE_SYMBOLS=",".join(f"{exchange}:{symbol}" for exchange, symbol in keys),
                EXCHANGE_RATE=f"{rate:g}",
                EXCHANGE_RECORDING="",
                EXCHANGE_PAST_MINUTES="5",
                **variables,
            ) as demo,
        ):
            yield demo, network

    return make
