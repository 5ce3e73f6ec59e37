"""Fuzzes one target, guided by the coverage of our code (atheris, which is libFuzzer for Python).

    cd tests && python -m fuzz.run TARGET INPUTS [SEED] [libFuzzer's own options]

Inputs that reached something new are kept in .state/fuzz/TARGET, and the next run begins with them. An input that
breaks a property ends the run and stands beside them as crash-*; `python -m fuzz.run TARGET 1 0 FILE` runs it.
"""

import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["producer.trade", "producer.exchanges", "spark_processor"]):
    from fuzz.targets import TARGETS

from fuzz.mutate import mutate

FOLDER = Path(__file__).parents[2] / ".state" / "fuzz"
MAX_BYTES = 1024


def main() -> None:
    name, inputs, *rest = sys.argv[1:]
    seed, options = (rest[0], rest[1:]) if rest else ("1", [])
    target = TARGETS[name]
    corpus = FOLDER / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    for number, data in enumerate(seeds):
        (corpus / f"seed-{number:03d}").write_bytes(data)

    def custom_mutator(data: bytes, max_size: int, number: int) -> bytes:
        random = Random(number)
        if random.random() < 0.6:
            return atheris.Mutate(data, max_size)
        return mutate(random, data, seeds)[:max_size]

    arguments = [
        *(
            sys.argv[0],
            f"-runs={-(-int(inputs) // target.messages)}",
            f"-seed={seed}",
            f"-max_len={MAX_BYTES}",
            "-timeout=20",
            "-rss_limit_mb=3000",
        ),
        *(f"-artifact_prefix={FOLDER / name}/", "-print_final_stats=1", "-mutate_depth=3"),
        *([] if any(not option.startswith("-") for option in options) else [str(corpus)]),
        *options,
    ]
    atheris.Setup(arguments, target.check, custom_mutator=custom_mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
