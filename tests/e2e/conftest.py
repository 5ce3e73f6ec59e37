"""A demo for the tests of a module."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from model.demo import Demo

from local.settings import DemoSettings


@pytest.fixture(scope="module")
def running_demo(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], cache_dir: Path
) -> Callable[..., Any]:
    """A context manager: a demo with these variables, not started yet; at its end nothing is left of it."""

    @contextmanager
    def make(**variables: str) -> Iterator[Demo]:
        state_dir = tmp_path_factory.mktemp("demo") / "state"
        mine = [name.upper() for name in DemoSettings.model_fields]
        environ = {
            **{name: value for name, value in os.environ.items() if name not in mine},
            **{variable: str(free_port()) for variable in DemoSettings().ports()},
            "DEMO_STATE_DIR": str(state_dir),
            "CACHE_DIR": str(cache_dir),
            **variables,
        }
        one = Demo(state_dir, environ)
        try:
            yield one
        finally:
            if not one.has_ended() and one.process is not None:
                one.send(signal.SIGINT)
            subprocess.run([sys.executable, "-m", "local.clean"], env=environ, check=True)

    return make
