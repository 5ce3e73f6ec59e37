"""What a process and all that it started use: CPU seconds so far, and memory."""

import bisect
import threading
import time
from contextlib import suppress

import psutil


class Usage:
    """Samples the tree of a process in a thread, from its start until `stop`.

    memory: whether this, too. began_s: when (seconds since 1970). peak_mb: the most that all of them held at a
    time; pages that they share count once (PSS).
    """

    def __init__(self, pid: int, memory: bool = True, every_s: float = 0.1) -> None:
        self._root = psutil.Process(pid)
        self._memory = memory
        self._every_s = every_s
        self._cpu_s: dict[tuple[int, float], float] = {}
        self._times: list[float] = []
        self._totals: list[float] = []
        self.began_s = time.time()
        self.peak_mb = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def cpu_s_at(self, time_s: float) -> float:
        """CPU seconds used until then (seconds since 1970), to a tenth of a second."""
        place = min(bisect.bisect_left(self._times, time_s), len(self._times) - 1)
        return self._totals[place]

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        ticks = 0
        while not self._ended.wait(self._every_s):
            with suppress(psutil.NoSuchProcess):
                processes = [self._root, *self._root.children(recursive=True)]
                for process in processes:
                    with suppress(psutil.NoSuchProcess):
                        times = process.cpu_times()
                        self._cpu_s[process.pid, process.create_time()] = times.user + times.system
                if self._memory and ticks % 10 == 0:
                    self.peak_mb = max(self.peak_mb, sum(pss_mb(process) for process in processes))
            ticks += 1
            self._times.append(time.time())
            self._totals.append(sum(self._cpu_s.values()))


def pss_mb(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return float(process.memory_full_info().pss) / 2**20
    return 0.0
