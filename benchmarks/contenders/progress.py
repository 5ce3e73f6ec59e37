"""How a contender tells what it has done: a line of JSON on its standard output for each step of its work."""

import json
import sys


def tell(ended_at_s: float, messages: int) -> None:
    """So many messages more were done for good at this time (seconds since 1970)."""
    sys.stdout.write(json.dumps([ended_at_s, messages]) + "\n")
    sys.stdout.flush()


def read(output: str) -> list[tuple[float, int]]:
    """What was told: time and messages of each step."""
    told = [json.loads(line) for line in output.splitlines() if line.startswith("[")]
    return [(float(ended_at_s), int(messages)) for ended_at_s, messages in told]
