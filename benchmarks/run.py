"""All measurements, one after the other, and the report of them; they need a machine with nothing else to do.

python -m benchmarks.run

What fails does not keep the others from being measured and told; it is named at the end.
"""

import subprocess
import sys

from benchmarks.growth import GROWTHS
from benchmarks.results import KEEP

_MEASUREMENTS = (
    ["compare", "clean"],
    ["compare", "adversarial"],
    ["compare", "poisoned"],
    *(["latency", "--rate", rate, "--trigger", "0 seconds"] for rate in ("1000", "5000", "20000")),
    ["latency", "--rate", "2000", "--trigger", "1 second"],
    ["latency", "--rate", "2000", "--trigger", "1 second", "--poison", "10000"],
    ["idle"],
    *(["producer", "--rate", rate] for rate in ("5000", "20000")),
    ["history"],
    *(["growth", growth] for growth in GROWTHS),
)


def main() -> None:
    failed = [" ".join(one) for one in _MEASUREMENTS if not _run(*one, KEEP)]
    _run("report")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _run(module: str, *arguments: str) -> bool:
    print(f"\n{module} {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    main()
