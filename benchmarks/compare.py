"""This project's job and what people would use instead, over the same backlog, in turns.

    python -m benchmarks.compare clean|adversarial|poisoned [--messages 2500000] [--rounds 3] [--only a,b]

Fills a topic of a broker of its own, then each contender (benchmarks/contenders) brings it into a new database of
one server, one after the other, round by round. Writes what was measured to docs/benchmarks.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import results
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import TOPIC, Measured, measure
from benchmarks.messages import INPUTS, fill
from benchmarks.servers import running_broker, running_postgres
from local.provision import drop_database


def main() -> None:
    options = _options()
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_broker(folder / "kafka") as servers, running_postgres(folder / "postgres") as dsn:
            fill(servers, TOPIC, options.messages, options.symbols, INPUTS[options.input], folder)
            print(
                f"{options.messages:,} messages of {options.symbols} symbols are in Kafka: {options.input}",
                flush=True,
            )
            print(
                f"{'':12} {'CPU us/trade':>13} {'trades/s':>10} {'MB':>7} {'start s':>8} {'wrong bars':>15}",
                flush=True,
            )
            for number in range(options.rounds):
                for name in options.only:
                    database = f"{name}_{number}"
                    one = measure(CONTENDERS[name], servers, dsn, database, folder, options.batch)
                    measured.append(_show(one))
                    drop_database(dsn, database)
                # after each round, so that a run cut short leaves what it has measured
                given = {key: getattr(options, key) for key in ("messages", "symbols", "batch")}
                results.write(f"compare_{options.input}", given | {"rounds": number + 1}, measured)
    job = [one for one in measured if one.contender == "job"]
    if any(one.wrong for one in job):
        raise SystemExit("the job's bars are wrong")


def _show(one: Measured) -> Measured:
    wrong = "" if one.wrong is None else f"{one.wrong} of {one.bars}"
    cost = f"{one.cpu_us:13.2f} {one.per_s:10,.0f} {one.peak_mb:7.0f} {one.start_s:8.1f}"
    print(f"{one.contender:12} {cost} {wrong:>15}", flush=True)
    return one


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("input", choices=INPUTS)
    parser.add_argument("--messages", type=int, default=2_500_000)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--batch", type=int, default=500_000, help="most messages in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(CONTENDERS))
    options = parser.parse_args()
    unknown = set(options.only) - CONTENDERS.keys()
    if unknown:
        parser.error(f"unknown contenders {sorted(unknown)}: choose among {list(CONTENDERS)}")
    return options


if __name__ == "__main__":
    main()
