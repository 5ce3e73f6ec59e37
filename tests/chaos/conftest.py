"""The demo under load, and what it runs on, for faults to be let loose on."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from chaos.disk import Disk, NoDisk, small_disk
from chaos.ground import Surroundings
from model.demo import Demo, fresh_demo
from model.proxy import proxy

from local import source
from local.ports import free_port
from local.settings import DemoSettings


@pytest.fixture
def loaded_demo(tmp_path: Path, cache_dir: Path) -> Callable[..., AbstractContextManager[Demo]]:
    """A context manager: a demo that is given so many trades a second of these symbols, not started yet."""

    @contextmanager
    def make(keys: list[tuple[str, str]], rate: float, **variables: str) -> Iterator[Demo]:
        with fresh_demo(
            tmp_path,
            cache_dir,
            ACTIVE_SYMBOLS=",".join(f"{exchange}:{symbol}" for exchange, symbol in keys),
            EXCHANGE_RATE=f"{rate:g}",
            EXCHANGE_RECORDING="",
            EXCHANGE_PAST_MINUTES="5",
            **variables,
        ) as demo:
            yield demo

    return make


@pytest.fixture
def surrounded_demo(
    loaded_demo: Callable[..., AbstractContextManager[Demo]],
) -> Callable[..., AbstractContextManager[tuple[Demo, Surroundings]]]:
    """The same, and what it runs on: a network to each server, and a disk of the database's own where one can be
    mounted.
    """

    @contextmanager
    def make(keys: list[tuple[str, str]], rate: float, **variables: str) -> Iterator[tuple[Demo, Surroundings]]:
        exchange_port, broker_port, database_port = free_port(), free_port(), free_port()
        with ExitStack() as stack:
            disk, no_disk = _disk(stack)
            binance, kucoin, broker, database = (
                stack.enter_context(proxy(port))
                for port in (exchange_port, exchange_port, broker_port, database_port)
            )
            demo = stack.enter_context(
                loaded_demo(
                    keys,
                    rate,
                    EXCHANGE_PORT=str(exchange_port),
                    KAFKA_PORT=str(broker_port),
                    POSTGRES_PORT=str(database_port),
                    BINANCE_WS_URL=f"ws://127.0.0.1:{binance.port}",
                    BINANCE_REST_URL=f"http://127.0.0.1:{binance.port}",
                    EXCHANGE_ADVERTISED_PORT=str(kucoin.port),
                    KAFKA_ADVERTISED_PORT=str(broker.port),
                    POSTGRES_ADVERTISED_PORT=str(database.port),
                    **variables,
                )
            )
            if disk:
                _put_database_on(disk, demo)
            yield demo, Surroundings(binance, kucoin, broker, database, disk, no_disk)

    return make


def _disk(stack: ExitStack) -> tuple[Disk | None, str]:
    try:
        return stack.enter_context(small_disk()), ""
    except NoDisk as error:
        return None, str(error)


def _put_database_on(disk: Disk, demo: Demo) -> None:
    """A data folder that is a link already is taken as it is."""
    told = {name: demo.environ[name.upper()] for name in DemoSettings.model_fields if name.upper() in demo.environ}
    settings = DemoSettings(**told)
    data = demo.state_dir / source.choose(settings).name / "postgres" / "data"
    data.parent.mkdir(parents=True)
    data.symlink_to(disk.folder)
