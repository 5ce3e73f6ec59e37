"""Structured logs: lines for people on a console, or one JSON object a line.

Libraries that log through `logging` come out in the same form.
"""

import logging
import sys
from typing import Any, Literal

import structlog


def configure_logging(form: Literal["console", "json"], level: str) -> None:
    """Sends all logs of this process to stderr. level: a name that `logging` knows, as INFO."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: list[Any] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # kafka-python repeats every failed connect, and httpx every call: their state is logged by those who use them
    for name in ("kafka", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL if level != "DEBUG" else logging.INFO)
