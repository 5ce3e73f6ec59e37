"""All measurements, one after the other, and the report of them; they need a machine with nothing else to do.

python -m benchmarks.run
"""

import subprocess
import sys

_MEASUREMENTS = (
    ["benchmarks.compare", "clean"],
    ["benchmarks.compare", "adversarial"],
    ["benchmarks.latency", "--trigger", "1 second"],
    ["benchmarks.latency", "--trigger", "0 seconds"],
    ["benchmarks.producer"],
    ["benchmarks.report"],
)


def main() -> None:
    for module, *arguments in _MEASUREMENTS:
        print(f"\n{module} {' '.join(arguments)}", flush=True)  # noqa: T201 - a command's answer
        subprocess.run([sys.executable, "-W", "ignore", "-m", module, *arguments], check=True)


if __name__ == "__main__":
    main()
