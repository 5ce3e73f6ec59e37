"""What the running demo holds in memory, by process; pages that processes share count once (PSS).

python -m benchmarks.memory
"""

import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.usage import pss_mb
from local import leftovers
from local.settings import DemoSettings


def main() -> None:
    state_dir = DemoSettings().demo_state_dir
    demos = [process for process in leftovers.find(state_dir) if "supervisor.supervisord" in process.cmdline()]
    if not demos:
        raise SystemExit(f"no demo is up in {state_dir}: start one with make demo")
    held_mb: Counter[str] = Counter()
    for process in [demos[0], *demos[0].children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            held_mb[_name(process)] += pss_mb(process)
    for name, megabytes in held_mb.most_common():
        print(f"{megabytes:8,.0f} MB  {name}", flush=True)
    print(f"{sum(held_mb.values()):8,.0f} MB  in all", flush=True)


def _name(process: psutil.Process) -> str:
    """The Java class, Python module or program that it runs, as far as its command tells."""
    words = process.cmdline()
    if process.name() == "java":
        return next((word for word in words if re.fullmatch(r"(org\.apache\.spark|kafka)\.[\w.]+", word)), "java")
    if "-m" in words:
        return words[words.index("-m") + 1]
    programs = [Path(word).name for word in words[1:2]]
    return f"airflow {words[2]}" if programs == ["airflow"] else Path(re.split(r" --|:", words[0])[0]).name


if __name__ == "__main__":
    main()
