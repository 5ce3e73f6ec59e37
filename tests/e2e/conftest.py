"""The demo that the tests share, and demos of a test module's own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from model.demo import Demo, fresh_demo


@pytest.fixture(scope="session")
def running_demo(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path
) -> Callable[..., AbstractContextManager[Demo]]:
    """A context manager: a demo with these variables, not started yet; at its end nothing is left of it."""
    return lambda **variables: fresh_demo(tmp_path_factory.mktemp("demo"), cache_dir, **variables)


@pytest.fixture(scope="session")
def demo(running_demo: Callable[..., AbstractContextManager[Demo]]) -> Iterator[Demo]:
    """A demo that runs, shared, since its start takes a minute; test_demo.py, the last of its users, ends it.

    Its passwords are unmistakable, so that they are known where they should not be.
    """
    with running_demo(
        ACTIVE_SYMBOLS="binance:TRX-USDT,kucoin:BTC-USDT",
        EXCHANGE_RATE="20",
        EXCHANGE_SPEED="50",
        MONITOR_HOLE_GRACE_S="5",
        MONITOR_FEED_GRACE_S="5",
        AIRFLOW_ADMIN_PASSWORD="planted-password-of-airflows-admin",  # noqa: S106 - of this demo alone
    ) as one:
        one.start()
        yield one
