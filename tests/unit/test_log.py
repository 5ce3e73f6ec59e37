"""What a log tells of an error, and what it must not tell."""

import json
import subprocess
import sys

import pytest

FAILS = """
import logging, sys
import structlog
from producer.log import configure_logging

def connect(dsn):
    raise OSError("refused")

configure_logging(sys.argv[1], "INFO")
for log in (structlog.get_logger(), logging.getLogger("a library")):
    try:
        connect("password=planted")
    except OSError:
        log.exception("no database")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_names_places_and_no_values_of_variables(form: str) -> None:
    said = subprocess.run([sys.executable, "-c", FAILS, form], capture_output=True, text=True, check=True).stderr
    assert said.count("no database") == 2
    assert said.count("refused") >= 2
    assert "planted" not in said.replace('connect("password=planted")', "")
    if form == "json":
        frames = json.loads(said.splitlines()[0])["exception"][0]["frames"]
        assert [(frame["name"], frame.get("locals")) for frame in frames] == [
            ("<module>", None),
            ("connect", None),
        ]
