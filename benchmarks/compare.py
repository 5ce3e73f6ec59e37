"""This project's job and what people would use instead, over the same backlog, in turns.

    python -m benchmarks.compare clean|adversarial|poisoned [--messages 2500000] [--rounds 3] [--only a,b] [--keep]

Fills a topic of a broker of its own, then each contender (benchmarks/contenders) brings it into a new database of
one server, one after the other, round by round. The poisoned input is for those that reject what is no trade.
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

_HEAD = (
    f"{'':12} {'CPU us/trade':>13} {'broker':>7} {'database':>9} {'trades/s':>10} {'MB':>7} {'start s':>8} "
    f"{'wrong bars':>17}"
)


def main() -> None:
    options = _options()
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_broker(folder / "kafka") as broker, running_postgres(folder / "postgres") as postgres:
            fill(broker.address, TOPIC, options.messages, options.symbols, INPUTS[options.input], folder)
            print(
                f"{options.messages:,} messages of {options.symbols} symbols are in Kafka: {options.input}",
                flush=True,
            )
            print(_HEAD, flush=True)
            for number in range(options.rounds):
                for name in options.only:
                    database = f"{name}_{number}"
                    one = measure(CONTENDERS[name], broker, postgres, database, folder, options.batch)
                    measured.append(_show(one))
                    drop_database(postgres.address, database)
                    # each time, so that a run cut short leaves what it has measured
                    given = {key: getattr(options, key) for key in ("messages", "symbols", "batch")}
                    results.keep(options, f"compare_{options.input}", given, measured)
    if wrong := {one.contender for one in measured if CONTENDERS[one.contender].proofs and one.wrong}:
        raise SystemExit(f"bars with proofs are wrong: {', '.join(wrong)}")


def _show(one: Measured) -> Measured:
    wrong = "" if one.wrong is None else f"{one.wrong} of {one.bars}"
    servers = f"{one.broker_cpu_us:7.2f} {one.database_cpu_us:9.2f}"
    cost = f"{one.cpu_us:13.2f} {servers} {one.per_s:10,.0f} {one.peak_mb:7.0f} {one.start_s:8.1f}"
    print(f"{one.contender:12} {cost} {wrong:>17}", flush=True)
    return one


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("input", choices=INPUTS)
    parser.add_argument("--messages", type=int, default=2_500_000)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--batch", type=int, default=500_000, help="most messages in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda names: names.split(","))
    results.add_option(parser)
    options = parser.parse_args()
    able = [name for name, one in CONTENDERS.items() if one.proofs or not INPUTS[options.input].poisoned]
    options.only = options.only or able
    if unable := set(options.only) - set(able):
        parser.error(f"{sorted(unable)} cannot take the input {options.input}: choose among {able}")
    return options


if __name__ == "__main__":
    main()
