"""Who is measured: each a module here, run as a process, that makes bars in Postgres of a backlog in Kafka."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """title: for people. command: module and arguments. proofs: whether it works on this project's schema.
    bars: whether it writes any.
    """

    name: str
    title: str
    command: tuple[str, ...]
    proofs: bool = False
    bars: bool = True


CONTENDERS = {
    one.name: one
    for one in (
        Contender("job", "this project's job", ("job",), proofs=True),
        Contender("single", "one process, the same kernel", ("single_process",), proofs=True),
        Contender("flink", "Flink SQL", ("flink_sql",)),
        Contender("spark", "Spark's own way", ("spark_window",)),
        Contender("spark_dedup", "Spark's own way, deduplicating", ("spark_window", "--deduplicate")),
        Contender("floor", "Spark's Kafka source into nothing", ("floor",), bars=False),
    )
}
