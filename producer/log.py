"""Structured logs: lines for people on a console, or one JSON object a line.

Libraries that log through `logging` come out in the same form.
"""

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer


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
    # Tracebacks without the values of variables, which structlog shows in both forms unless told otherwise: among
    # them are passwords, and these logs are mailed.
    as_fields = ExceptionDictTransformer(show_locals=False)
    as_text = structlog.dev.plain_traceback
    renderer: list[Any] = (
        [structlog.processors.ExceptionRenderer(as_fields), structlog.processors.JSONRenderer()]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=as_text)]
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
