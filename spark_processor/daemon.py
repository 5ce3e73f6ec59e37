"""Spark's Python daemon, which forks the workers, rid of the archives that Spark puts on its path.

Before each task a worker calls `importlib.invalidate_caches`, upon which Python before 3.13 reads the directory of
each zip and jar on the path anew: 0.15 s a task, half of a small batch. What is in them is installed beside us.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if not os.path.isfile(entry)]
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)
