"""The smallest real streaming job: what the submit DAG launches in its tests instead of the pipeline's.

It writes beside itself its arguments, and that it has done a batch. It fails with a traceback as long as a file
`crash` is there.
"""

import json
import os
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

FOLDER = Path(__file__).parent


def batch(trades: DataFrame, number: int) -> None:
    if (FOLDER / "crash").exists():
        raise RuntimeError("the job was told to crash in a batch")
    (FOLDER / f"batch-of-{os.getpid()}").touch()


if (FOLDER / "crash").exists():
    raise RuntimeError("the job was told to crash at its start")
(FOLDER / "arguments.json").write_text(json.dumps(sys.argv[1:]))
spark = SparkSession.builder.getOrCreate()
stream = spark.readStream.format("rate").load().writeStream.trigger(processingTime="1 second").foreachBatch(batch)
stream.start().awaitTermination()
