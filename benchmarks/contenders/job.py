"""This project's job, until the backlog is done."""

import sys

import psycopg2

from benchmarks.contenders.progress import tell
from spark_processor import job
from spark_processor.settings import JobSettings


def main() -> None:
    exit_code = job.main(["--once"])
    if exit_code:
        sys.exit(exit_code)
    with psycopg2.connect(JobSettings().postgres_dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select extract(epoch from committed_at)::float8, messages - rejected from batches order by batch_no"
        )
        for ended_at_s, messages in cursor.fetchall():
            tell(ended_at_s, messages)


if __name__ == "__main__":
    main()
