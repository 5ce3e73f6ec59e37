"""The smallest real job of the kind: what the submit DAG launches in its tests instead of the pipeline's.

It writes beside itself its arguments, and that it has done a batch. It fails with a traceback as long as a file
`crash` is there.
"""

import json
import os
import sys
import time
from pathlib import Path

from pyspark import SparkContext

FOLDER = Path(__file__).parent

if (FOLDER / "crash").exists():
    raise RuntimeError("the job was told to crash at its start")
(FOLDER / "arguments.json").write_text(json.dumps(sys.argv[1:]))
context = SparkContext.getOrCreate()
context.setJobDescription("a batch of two")
while context.parallelize(range(2)).count() == 2:
    if (FOLDER / "crash").exists():
        raise RuntimeError("the job was told to crash in a batch")
    (FOLDER / f"batch-of-{os.getpid()}").touch()
    time.sleep(1)
