"""One task's messages -> what they add to bars and coverage. DuckDB over Arrow, run in Spark's Python workers.

`parse` and `slow` (the files in `sql/`) make trades of messages, `order` finds the new ones, `bars`, `ids` and
`batch` are the result. Pure: what is committed already comes in as `Coverage`, and nothing is stored.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from itertools import count

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from producer.exchanges import EXCHANGES
from producer.trade import MAX_AHEAD_US, MAX_ATTESTED, MAX_TRADED_AT_US, MIN_TRADED_AT_US
from spark_processor.judge import MAX_JUMP, Bounds, Judged, judge
from spark_processor.order import COLUMNS, order
from spark_processor.statements import sql

KEPT_BYTES = 16_384  # of a rejected key or value

MESSAGES = pa.schema(
    [("value", pa.binary()), ("key", pa.binary()), ("partition", pa.int32()), ("offset", pa.int64())]
)

# The columns of sql/stage.sql, which explains them.
RESULT = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "exchange", "symbol")),
        ("minute", pa.int64()),
        *((name, pa.string()) for name in ("open", "high", "low", "close", "volume", "quote_volume")),
        *((name, pa.string()) for name in ("taker_buy_volume", "taker_buy_quote_volume")),
        *((name, pa.int64()) for name in ("trades", "first_id", "last_id", "last_traded_at_us", "live_from")),
        *(("seen", pa.string()), ("partition", pa.int32())),
        *(("offset", pa.int64()), ("key", pa.string()), ("value", pa.string()), ("reason", pa.string())),
        *((name, pa.int64()) for name in ("messages", "rejected", "duplicates", "contradictions")),
        ("newest_received_at_us", pa.int64()),
    ]
)

_DUCKDB_TYPES = {pa.string(): "varchar", pa.int64(): "bigint", pa.int32(): "integer"}
_SLOW = pa.schema(
    [
        *(("i", pa.int64()), ("exchange", pa.string()), ("symbol", pa.string()), ("id", pa.int64())),
        *(("lo", pa.int64()), ("price", pa.string()), ("quantity", pa.string()), ("quote", pa.string())),
        *(("wide", pa.bool_()), ("buy", pa.bool_()), ("traded_at_us", pa.int64())),
        *(("received_at_us", pa.int64()), ("ws", pa.bool_())),
    ]
)
_REJECTED = pa.schema(
    [
        *(("partition", pa.int32()), ("offset", pa.int64())),
        *(("key", pa.binary()), ("value", pa.binary()), ("reason", pa.string())),
    ]
)
_SEEN = pa.schema([("exchange", pa.string()), ("symbol", pa.string()), ("lo", pa.int64()), ("hi", pa.int64())])

_KEPT_BYTES_A_TASK = 32 << 20  # a flood of rejects is counted to its end, but not kept

_evaluations = count()
# Making an engine costs 20 ms, and one that is kept for ever grows by 40 kB an evaluation (DuckDB 2.0.0).
_EVALUATIONS_AN_ENGINE = 100


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is committed: ranges of ids seen, [lo, hi] (columns exchange, symbol, lo, hi), and where `wanted` was
    opened above a symbol's top (exchange, symbol, id)."""

    seen: pa.Table
    opened: tuple[tuple[str, str, int], ...] = ()

    @staticmethod
    def of(seen: list[tuple[str, str, int, int]], opened: list[tuple[str, str, int]]) -> "Coverage":
        return Coverage(table_of(seen, _SEEN), tuple(opened))


def evaluate(messages: pa.Table, coverage: Coverage) -> pa.Table:
    """The rows (RESULT) that these messages (MESSAGES) make on top of this coverage; none of none."""
    if not messages.num_rows:
        return RESULT.empty_table()
    engine = _engine(next(_evaluations) // _EVALUATIONS_AN_ENGINE)
    with engine.cursor() as db:  # its tables and variables are its own, and go with it
        numbered = pa.table({"i": pa.arange(0, messages.num_rows), "value": messages["value"]})
        _prepare(db, numbered, coverage)
        _parse(db, numbered)
        _judge_what_is_left(db, messages, coverage)
        _order(db)
        columns = ", ".join(f'"{one.name}"::{_DUCKDB_TYPES[one.type]} as "{one.name}"' for one in RESULT)
        union = " union all by name ".join(f"({sql(part)})" for part in ("bars", "ids", "batch"))
        return db.sql(f"select {columns} from ({union})").to_arrow_table()  # noqa: S608 - only our own files


def table_of(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    """These rows as a table of this schema, also if there are none."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _prepare(db: duckdb.DuckDBPyConnection, numbered: pa.Table, coverage: Coverage) -> None:
    db.register("input", numbered)
    db.register("seen", coverage.seen)
    consecutive = [exchange.consecutive_ids for exchange in EXCHANGES.values()]
    db.register("exchanges", pa.table({"exchange": list(EXCHANGES), "consecutive_ids": consecutive}))
    for name, value in (
        ("min_traded_at_us", MIN_TRADED_AT_US),
        ("max_traded_at_us", MAX_TRADED_AT_US),
        ("max_ahead_us", MAX_AHEAD_US),
        ("max_attested", MAX_ATTESTED),
        ("max_jump", MAX_JUMP),
    ):
        db.execute(f"set variable {name} = {value}")
    db.execute(sql("symbols"))


def _parse(db: duckdb.DuckDBPyConnection, everything: pa.Table) -> None:
    # whatever begins otherwise is not as the contract's writer has it; a flood of random bytes costs no second try
    alike = pc.starts_with(everything["value"], pattern='{"exchange":"')
    candidates = everything if pc.all(alike, skip_nulls=False).as_py() else everything.filter(alike)
    db.execute("set disabled_optimizers = 'filter_pushdown,filter_pullup'")
    try:
        _parse_these(db, candidates, guarded=False)
    except (pa.ArrowInvalid, duckdb.ConversionException, duckdb.InvalidInputException):
        texts = pa.array([_is_text(value) for value in candidates["value"].to_pylist()], pa.bool_())
        _parse_these(db, candidates.filter(texts), guarded=True)
    db.execute("reset disabled_optimizers")
    if _one(db, "select count(*) from parsed where symbol_no is null"):
        db.execute(sql("new_symbols"))


def _parse_these(db: duckdb.DuckDBPyConnection, candidates: pa.Table, guarded: bool) -> None:
    texts = candidates["value"].cast(pa.string())  # DuckDB's decode takes 0.5 us a message, this next to nothing
    db.register("candidates", pa.table({"i": candidates["i"], "text": texts}))
    db.execute(f"set variable guarded = {guarded}")
    db.execute(sql("parse"))


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _judge_what_is_left(db: duckdb.DuckDBPyConnection, messages: pa.Table, coverage: Coverage) -> None:
    trades: list[tuple[object, ...]] = []
    rejected: list[tuple[object, ...]] = []
    kept_bytes = not_kept = 0
    if _one(db, "select count(*) from parsed") < messages.num_rows:
        left = db.sql("select i from input anti join parsed using (i) order by i").to_arrow_table()["i"]
        rows = dict(zip(left.to_pylist(), messages.take(left).to_pylist(), strict=True))
        values = ((i, row["value"]) for i, row in rows.items())
        for i, verdict in judge(values, _bounds(db, coverage)):
            if isinstance(verdict, Judged):
                trades.append(astuple(verdict))
            elif kept_bytes < _KEPT_BYTES_A_TASK:
                row = rows[i]
                key, value = (raw and raw[:KEPT_BYTES] for raw in (row["key"], row["value"]))
                kept_bytes += len(key or b"") + len(value or b"")
                rejected.append((row["partition"], row["offset"], key, value, verdict))
            else:
                not_kept += 1
    db.register("slow", table_of(trades, _SLOW))
    db.register("rejected", table_of(rejected, _REJECTED))
    db.execute(f"set variable not_kept = {not_kept}")
    if trades:
        db.execute(sql("slow"))


def _order(db: duckdb.DuckDBPyConnection) -> None:
    seen = db.sql(sql("seen")).fetchnumpy()["i"]
    found = order(db.sql(f"select {', '.join(COLUMNS)} from parsed").fetchnumpy(), seen)  # noqa: S608 - our own names
    db.register("repeats", found.repeats)
    db.register("accounted", found.accounted)
    db.execute(f"set variable contradictions = {found.contradictions}")


def _bounds(db: duckdb.DuckDBPyConnection, coverage: Coverage) -> dict[tuple[str, str], Bounds]:
    opened: dict[tuple[str, str], list[int]] = {}
    for exchange, symbol, begin in coverage.opened:
        opened.setdefault((exchange, symbol), []).append(begin)
    tops = db.execute("select exchange, symbol, top from symbols").fetchall()
    return {(exchange, symbol): Bounds(top, opened.get((exchange, symbol), ())) for exchange, symbol, top in tops}


def _one(db: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(db.execute(query).fetchall()[0][0])


@lru_cache(maxsize=1)  # the next one ends the one before
def _engine(_number: int) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1, "preserve_insertion_order": False})
