"""Spark's Kafka source into nothing: the least that any job on it costs."""

from pyspark.sql import DataFrame, SparkSession

from benchmarks.contenders import spark_query
from spark_processor.settings import JobSettings


def main() -> None:
    settings = JobSettings()

    def columns(_: SparkSession, messages: DataFrame) -> DataFrame:
        return messages.select("value", "key", "partition", "offset")

    def discard(messages: DataFrame) -> None:
        messages.coalesce(settings.job_tasks).write.format("noop").mode("overwrite").save()

    spark_query.run(settings, columns, discard)


if __name__ == "__main__":
    main()
