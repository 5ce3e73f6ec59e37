"""A demo for the tests of a module."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from model.demo import Demo, fresh_demo


@pytest.fixture(scope="module")
def running_demo(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], cache_dir: Path
) -> Callable[..., AbstractContextManager[Demo]]:
    """A context manager: a demo with these variables, not started yet; at its end nothing is left of it."""
    return lambda **variables: fresh_demo(tmp_path_factory.mktemp("demo"), cache_dir, free_port, **variables)
