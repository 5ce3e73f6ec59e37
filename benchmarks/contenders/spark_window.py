"""Spark's own way, as its guide teaches it: watermark, tumbling window, and an upsert by foreachBatch.

    python -m benchmarks.contenders.spark_window [--deduplicate]

--deduplicate: drop duplicates within the watermark first, with state in RocksDB. Spark then allows only the output
mode append: a bar is written once, when the watermark has passed it.
https://spark.apache.org/docs/4.0.0/streaming/apis-on-dataframes-and-datasets.html
"""

import argparse
import io
from contextlib import closing

import psycopg2
import pyarrow.csv
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everyone calls it

from benchmarks.contenders import plain_bars, spark_query
from spark_processor.settings import JobSettings

WATERMARK = "10 minutes"  # that of the guide

_TRADE = (
    "exchange string, symbol string, trade_id long, price decimal(18, 8), quantity decimal(18, 8), "
    "taker_side string, traded_at_us long"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deduplicate", action="store_true")
    options = parser.parse_args()
    settings = JobSettings()

    def query(spark: SparkSession, messages: DataFrame) -> DataFrame:
        spark.conf.set("spark.sql.shuffle.partitions", settings.job_tasks)
        if options.deduplicate:
            provider = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
            spark.conf.set("spark.sql.streaming.stateStore.providerClass", provider)
            spark.conf.set("spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled", "true")
        return _bars(messages, options.deduplicate)

    with closing(psycopg2.connect(settings.postgres_dsn)) as connection:

        def write(bars: DataFrame) -> None:
            rows = io.BytesIO()
            pyarrow.csv.write_csv(bars.toArrow(), rows, pyarrow.csv.WriteOptions(include_header=False))
            rows.seek(0)
            plain_bars.upsert(connection, rows)

        spark_query.run(settings, query, write, "append" if options.deduplicate else "update")


def _bars(messages: DataFrame, deduplicate: bool) -> DataFrame:
    trade = F.from_json(F.col("value").cast("string"), _TRADE)
    trades = (
        messages.select(trade.alias("trade"))
        .select("trade.*")
        .withColumn("traded_at", F.timestamp_micros("traded_at_us"))
        .withColumn("quote", F.col("price") * F.col("quantity"))
        .withWatermark("traded_at", WATERMARK)
    )
    if deduplicate:
        trades = trades.dropDuplicatesWithinWatermark(["exchange", "symbol", "trade_id"])
    bought = F.col("taker_side") == "buy"
    bars = trades.groupBy("exchange", "symbol", F.window("traded_at", "1 minute").alias("minute")).agg(
        F.min_by("price", "trade_id").alias("open"),
        F.max("price").alias("high"),
        F.min("price").alias("low"),
        F.max_by("price", "trade_id").alias("close"),
        F.sum("quantity").alias("volume"),
        F.sum("quote").alias("quote_volume"),
        F.count("*").alias("trade_count"),
        F.sum(F.when(bought, F.col("quantity")).otherwise(0)).alias("taker_buy_volume"),
        F.sum(F.when(bought, F.col("quote")).otherwise(0)).alias("taker_buy_quote_volume"),
    )
    texts = [
        F.col(name).cast("string")
        for name in ("open", "high", "low", "close", "volume", "quote_volume", "trade_count", "taker_buy_volume")
    ]
    return bars.select(
        "exchange",
        "symbol",
        F.col("minute.start").alias("window_start"),
        *texts,
        F.col("taker_buy_quote_volume").cast("string"),
    )


if __name__ == "__main__":
    main()
