"""Ends the executor's workers where the scheduler that started them ends without doing so.

A scheduler that is refused memory may leave its loop past every `finally`, so `LocalExecutor.end` is never called
(CPython: "SystemError: ... returned NULL without setting an exception"). Python then waits at its exit for the
workers, and they for tasks: for ever, and nobody starts the scheduler anew. What registers this is
airflow/plugins/crypto_pipeline_plugin.py.
"""

import atexit
import multiprocessing
import multiprocessing.util  # waits for the workers at exit: what is registered after it is called before it
from contextlib import suppress

import psutil  # type: ignore[import-untyped]
from airflow.listeners import hookimpl


@hookimpl
def on_starting(component: object) -> None:
    if type(component).__name__ == "Job":  # not a task, which would have to load all models to ask for the class
        atexit.register(_end_workers)


def _end_workers() -> None:
    for worker in multiprocessing.active_children():  # none, if the executor has ended them
        # its task too, which another scheduler starts again; SIGKILL, since workers heed no other signal
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(worker.pid)
            for each in [*process.children(recursive=True), process]:
                each.kill()
