"""The report in docs/benchmarks: tables and pictures of everything that was measured so far.

python -m benchmarks.report
"""

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import chart, results
from benchmarks.contenders import CONTENDERS
from benchmarks.growth import GROWTHS
from benchmarks.messages import INPUTS

_NOTES = """\
How it is measured:

- A contender reads the whole backlog from a local broker and writes 1-minute bars into a new database. All run on
  the same machine, one after the other, round by round. Those that use Spark's own source read it with the fetch
  sizes that took least, in batches of the same size as this job's. Spark runs in one Java process (`local[2]`) for
  all of them, without a master and a worker.
- CPU is user and system of all processes of the contender; that of broker and database meanwhile stands beside it.
  CPU, and trades a second, are taken after the first half million messages, which pay for the start of Java.
- Memory is the most that all processes of the contender held at a time, shared pages once (PSS).
- A bar is wrong if any of its nine values differs from what DuckDB makes of the published trades
  ([truth.sql](../../benchmarks/truth.sql)), if it is missing, or if it should not be there.
- Watermarks are of 10 minutes, as in Spark's guide; what comes later is dropped. Spark deduplicates with state in
  RocksDB and writes a bar when the watermark has passed it. The Flink query does not deduplicate, and takes open
  and close by arrival.
- This job's Java has the serial collector and its first compiler alone, since it only brings tasks to Python; that
  of Spark and Flink, which does the work, has the parallel collector and both compilers.
- *One process* is this project's reader, kernel and transaction without Spark.
"""


def main() -> None:
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench`; the raw figures are in the JSON files beside this page.",
        "",
    ]
    parts += _comparison()
    parts += _latency()
    parts += _idle()
    parts += _producer()
    parts += _history()
    parts += _growth()
    (results.FOLDER / "README.md").write_text("\n".join(parts))


def _comparison() -> list[str]:
    found = {name: kept for name in INPUTS if (kept := results.read(f"compare_{name}"))}
    if not found:
        return []
    parts = ["## This job and what people would use instead", "", "![CPU a trade](comparison.svg)", ""]
    groups = []
    for name, kept in found.items():
        settings = kept["settings"]
        by_name = _by_contender(kept["measured"])
        backlog = f"{settings['messages']:,} messages of {settings['symbols']} symbols{_described(name)}"
        parts += [
            f"### Input: {name}",
            "",
            f"{backlog}, in batches of at most {settings['batch']:,}; medians of "
            f"{max(map(len, by_name.values()))} rounds, in brackets the lowest and the highest.",
            "",
            "| contender | CPU µs a trade | times this job | broker's | database's | trades/s | peak MB "
            "| wrong bars |",
            "|---|---|---|---|---|---|---|---|",
        ]
        ours = _median(by_name["job"], "cpu_us") if "job" in by_name else None
        bars = []
        for contender, runs in by_name.items():
            cpu = _median(runs, "cpu_us")
            wrong = _wrong(runs)
            parts.append(
                f"| {CONTENDERS[contender].title} | {_spread(runs, 'cpu_us', '{:.2f}')} | "
                f"{f'{cpu / ours:.2f}' if ours else ''} | {_median(runs, 'broker_cpu_us'):.2f} | "
                f"{_median(runs, 'database_cpu_us'):.2f} | {_spread(runs, 'per_s', '{:,.0f}')} | "
                f"{_median(runs, 'peak_mb'):,.0f} | {wrong} |"
            )
            values = [run["cpu_us"] for run in runs]
            note = f"{cpu:.1f} µs" + (f", {wrong} bars wrong" if wrong else "")
            bars.append(
                chart.Bar(CONTENDERS[contender].title, cpu, min(values), max(values), note, contender == "job")
            )
        parts.append("")
        groups.append((f"{name} input", bars))
    (results.FOLDER / "comparison.svg").write_text(chart.bars("CPU µs a trade, and bars that are wrong", groups))
    return [*parts, _NOTES, *_machines(found.values()), ""]


def _latency() -> list[str]:
    found = _all("latency", lambda one: (one["trigger"], one["poison"], one["rate"]))
    if not found:
        return []
    parts = ["## From a trade's receipt to its bar in Postgres", ""]
    parts += [f"One run each, of {found[0]['settings']['seconds']} s.", ""]
    parts += ["| trades/s | random messages/s | trigger | p50 s | p95 s | p99 s |", "|---|---|---|---|---|---|"]
    for one in (kept["measured"][0] for kept in found):
        quantiles = " | ".join(f"{one[name]:.2f}" for name in ("p50_s", "p95_s", "p99_s"))
        parts.append(f"| {one['rate']:,} | {one['poison']:,} | {one['trigger']} | {quantiles} |")
    return [*parts, "", *_machines(found), ""]


def _idle() -> list[str]:
    kept = results.read("idle")
    if kept is None:
        return []
    parts = ["## The job while little or nothing is traded", "", "| trades/s | trigger | cores |", "|---|---|---|"]
    parts += [f"| {one['rate']:,} | {one['trigger']} | {one['cores']:.2f} |" for one in kept["measured"]]
    return [*parts, "", *_machines([kept]), ""]


def _producer() -> list[str]:
    found = _all("producer", lambda one: one["trades_per_s"])
    if not found:
        return []
    parts = ["## The producer, beside the loop of the tutorials", ""]
    parts += [
        "By one process, from an exchange that sends so many trades whatever is read; latency is from frame to "
        "acknowledged. One run each.",
        "",
    ]
    parts += [
        "| | offered a second | delivered | CPU µs a trade | MB | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for kept in found:
        for one in kept["measured"]:
            rates = f"{kept['settings']['rate']:,} | {one['trades_per_s']:,.0f}"
            cost = f"{one['cpu_us_per_trade']:.1f} | {one['memory_mb']:.0f}"
            parts.append(f"| {one['name']} | {rates} | {cost} | {one['p50_ms']:.0f} | {one['p99_ms']:.0f} |")
    return [*parts, "", *_machines(found), ""]


def _history() -> list[str]:
    kept = results.read("history")
    if kept is None:
        return []
    parts = ["## The past over REST", ""]
    parts += ["By one process from the simulator, beside what the weight limit of one address lets through.", ""]
    parts += ["| exchange | what | of them a bar | read a second | bars a second | bars a second by the limit |"]
    parts += ["|---|---|---|---|---|---|"]
    for one in kept["measured"]:
        a_bar = one["rows_a_bar"]
        paces = (
            f"{one['rows_per_s']:,.0f} | {one['rows_per_s'] / a_bar:,.0f} | {one['limit_rows_per_s'] / a_bar:,.0f}"
        )
        parts.append(f"| {one['exchange']} | {one['what']} | {a_bar:g} | {paces} |")
    return [*parts, "", *_machines([kept]), ""]


def _growth() -> list[str]:
    parts = []
    for name, growth in GROWTHS.items():
        kept = results.read(f"growth_{name}")
        if kept is None:
            continue
        points: dict[float, list[float]] = {}
        for one in kept["measured"]:
            points.setdefault(one["size"], []).append(one["value"])
        medians = [(size, statistics.median(values)) for size, values in sorted(points.items())]
        picture = chart.curves(growth.title, growth.x_title, growth.y_title, [chart.Curve("median", medians)])
        (results.FOLDER / f"growth_{name}.svg").write_text(picture)
        parts += [f"### {growth.title}", "", f"![{growth.title}](growth_{name}.svg)", ""]
        parts += [f"| {growth.x_title} | {growth.y_title} | times the first |", "|---|---|---|"]
        for size, median in medians:
            spread = f"{median:.4g} ({min(points[size]):.4g} to {max(points[size]):.4g})"
            parts.append(f"| {size:,.0f} | {spread} | {median / medians[0][1]:.2f} |")
        if growth.beyond:
            slope, start = statistics.linear_regression(*zip(*medians, strict=True))
            computed = f"{start + slope * growth.beyond:.2g} at {growth.beyond:,}"
            parts += ["", f"The straight line through these medians has about {computed}."]
        parts += ["", growth.why, "", *_machines([kept]), ""]
    return ["## Growth", "", *parts] if parts else []


def _by_contender(measured: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: runs for name in CONTENDERS if (runs := [one for one in measured if one["contender"] == name])}


def _all(what: str, order: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """What was kept of the several measurements of a kind, ordered by the first figures of each."""
    found = [kept for file in results.FOLDER.glob(f"{what}_*.json") if (kept := results.read(file.stem))]
    return sorted(found, key=lambda kept: order(kept["measured"][0]))


def _wrong(runs: list[dict[str, Any]]) -> str:
    if runs[0]["wrong"] is None:
        return ""
    found = sorted({run["wrong"] for run in runs})
    shown = f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
    return f"{shown} of {runs[0]['bars']:,}"


def _median(runs: list[dict[str, Any]], field: str) -> float:
    return statistics.median(run[field] for run in runs)


def _spread(runs: list[dict[str, Any]], field: str, shown: str) -> str:
    show: Callable[[float], str] = shown.format
    values = [run[field] for run in runs]
    return f"{show(statistics.median(values))} ({show(min(values))} to {show(max(values))})"


def _described(name: str) -> str:
    kind = INPUTS[name]
    said = f", {kind.span_us / 60e6:.0f} minutes of trading"
    if kind.duplicated:
        said += (
            f", {kind.duplicated:.1%} of the trades sent twice, {kind.disordered:.1%} of the messages up to 5 s "
            f"and {kind.late:.1%} up to an hour late"
        )
    if kind.poisoned:
        said += f", beside each thousand trades {kind.poisoned * 1000:.0f} messages of random bytes"
    return said


def _machines(found: Iterable[dict[str, Any]]) -> list[str]:
    """On what all of these were measured: a line a machine and state of the project."""
    lines = {}
    for machine in (kept["machine"] for kept in found):
        versions = ", ".join(f"{name} {machine[name]}" for name in machine if name[0].isupper())
        state = f"at {machine['commit']}: {machine['cores']}, {machine['memory']}; {versions}."
        lines.setdefault(state, f"Measured {machine['at']} {state}")
    return [*lines.values()]


if __name__ == "__main__":
    main()
