"""All measurements, one after the other, and the report of them; they need a machine with nothing else to do.

python -m benchmarks.run
"""

import subprocess
import sys

from benchmarks.growth import GROWTHS

_MEASUREMENTS = (
    ["benchmarks.compare", "clean"],
    ["benchmarks.compare", "adversarial"],
    ["benchmarks.latency", "--rate", "1000", "--trigger", "0 seconds"],
    ["benchmarks.latency", "--rate", "5000", "--trigger", "0 seconds"],
    ["benchmarks.latency", "--rate", "20000", "--trigger", "0 seconds"],
    ["benchmarks.latency", "--rate", "2000", "--trigger", "1 second"],
    ["benchmarks.idle"],
    ["benchmarks.producer"],
    ["benchmarks.history"],
    *(["benchmarks.growth", growth] for growth in GROWTHS),
    ["benchmarks.report"],
)


def main() -> None:
    for module, *arguments in _MEASUREMENTS:
        print(f"\n{module} {' '.join(arguments)}", flush=True)
        subprocess.run([sys.executable, "-W", "ignore", "-m", module, *arguments], check=True)


if __name__ == "__main__":
    main()
