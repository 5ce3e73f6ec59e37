"""Health checks, a file to run: python -IS healthy.py CHECK ARGUMENT. It runs often, so it loads little.

answers URL: the URL answers with 200. master URL: the Spark master of that page takes workers and applications.
worker URL: the Spark worker beside us is one of the master of that page.
"""

import json
import sys
from typing import Any
from urllib.request import urlopen

_WORKER = "http://127.0.0.1:8081/json/"
_TIMEOUT_S = 4


def main(check: str, url: str) -> bool:
    """Whether the check passes. Raises OSError where nothing answers, as with any status but 200."""
    if check == "answers":
        return bool(_read(url))
    master = json.loads(_read(url))
    if check == "master":
        return bool(master["status"] == "ALIVE")
    mine: Any = json.loads(_read(_WORKER))["id"]
    return any((worker["id"], worker["state"]) == (mine, "ALIVE") for worker in master["workers"])


def _read(url: str) -> bytes:
    with urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the address is the compose file's
        return bytes(answer.read())


if __name__ == "__main__":
    try:
        sys.exit(0 if main(sys.argv[1], sys.argv[2]) else "not so")
    except OSError as error:
        sys.exit(str(error))
