"""What was measured, kept as JSON in docs/benchmarks with the machine and the versions that it was measured on.

Kept only if asked for, as `make bench` does, so that a measurement by hand does not replace what the report tells.
"""

import json
import os
import platform
import subprocess
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.servers import CACHE
from local.jars import BROKER, FLINK
from local.java import find_java

_ROOT = Path(__file__).parent.parent
FOLDER = _ROOT / "docs" / "benchmarks"


KEEP = "--keep"


def add_option(parser: ArgumentParser) -> None:
    """Lets the user say that the figures are to be kept."""
    parser.add_argument(KEEP, action="store_true", help=f"write the figures to {FOLDER.relative_to(_ROOT)}")


def keep(options: Namespace, name: str, settings: dict[str, Any], measured: Sequence[Any]) -> None:
    """Keeps the dataclasses `measured`, if asked for, replacing what was kept under this name."""
    if not options.keep:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = {"machine": _machine(), "settings": settings, "measured": [asdict(one) for one in measured]}
    (FOLDER / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def read(name: str) -> dict[str, Any] | None:
    """What was kept under this name; None before the first time."""
    file = FOLDER / f"{name}.json"
    return dict(json.loads(file.read_text())) if file.is_file() else None


def _machine() -> dict[str, str]:
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit.stdout.strip(),
        "cores": f"{os.cpu_count()} cores of {' and '.join(sorted(models)) or platform.machine()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "Python": platform.python_version(),
        "Java": str(find_java(CACHE).version),
        "Kafka": next(version for _, artifact, version in BROKER.coordinates if artifact.startswith("kafka_")),
        "Flink": next(version for _, artifact, version in FLINK.coordinates if artifact == "flink-clients"),
        "PostgreSQL": "16",
        **{title: version(package) for title, package in (("Spark", "pyspark"), ("DuckDB", "duckdb"))},
    }
