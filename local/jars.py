"""The jars that neither Python's index nor pyspark has: Kafka's broker, and those that the benchmarks ask for.

They come from the Maven repository by coordinates, resolved by the Ivy jar inside pyspark, once, into the cache
folder, and are accepted only with the sums in `jars.sha256`. `python -m local.jars --write-sums` fetches them anew
and writes those sums down, after a change of version here.
"""

import argparse
import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from local.java import Java, find_java, trust_advice
from local.settings import DemoSettings

SUMS_FILE = Path(__file__).with_name("jars.sha256")


class JarsUnavailable(RuntimeError):
    """Jars could not be fetched, or are not what they should be; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class JarSet:
    """Maven artifacts with what they need.

    name: of the folder in the cache.
    coordinates: group, artifact, version.
    only: the jars to keep; empty for all.
    """

    name: str
    coordinates: tuple[tuple[str, str, str], ...]
    only: frozenset[str] = frozenset()


BROKER = JarSet(
    "kafka",
    (
        ("org.apache.kafka", "kafka_2.13", "4.3.1"),
        ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"),  # without it the broker logs nothing
    ),
)
# Spark's own source, of the jobs that this one is measured against.
SPARK_CONNECTOR = JarSet(
    "spark-kafka",
    (("org.apache.spark", "spark-sql-kafka-0-10_2.13", "4.0.0"),),
    # the others that it asks for are among pyspark's own jars
    frozenset(
        {
            "commons-pool2-2.12.0.jar",
            "kafka-clients-3.9.0.jar",
            "spark-sql-kafka-0-10_2.13-4.0.0.jar",
            "spark-token-provider-kafka-0-10_2.13-4.0.0.jar",
        }
    ),
)

_FLINK = "2.2.1"
# Flink's SQL gateway with a cluster inside, and its connectors.
FLINK = JarSet(
    "flink",
    (
        *(
            ("org.apache.flink", artifact, _FLINK)
            for artifact in (
                *("flink-clients", "flink-connector-base", "flink-json", "flink-sql-gateway"),
                *("flink-table-planner_2.12", "flink-table-runtime"),
            )
        ),
        ("org.apache.flink", "flink-sql-connector-kafka", "5.0.0-2.2"),
        ("org.apache.flink", "flink-connector-jdbc-core", "4.0.0-2.0"),
        ("org.apache.flink", "flink-connector-jdbc-postgres", "4.0.0-2.0"),
        ("org.postgresql", "postgresql", "42.7.8"),
        ("com.github.luben", "zstd-jni", "1.5.6-10"),  # the connector leaves it out, and trades are compressed so
        ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"),
    ),
)

_SETS = (BROKER, SPARK_CONNECTOR, FLINK)


def fetch(jars: JarSet, cache_dir: Path, java: Java, ivy_settings: Path | None = None) -> Path:
    """The folder of these jars, filled if it is not whole. Several processes may ask at the same time.

    ivy_settings: an Ivy settings file that names another repository than Maven Central.
    Raises JarsUnavailable.
    """
    folder = cache_dir.resolve() / "jars" / jars.name
    wanted = read_sums(jars)
    if not wanted:
        raise JarsUnavailable(f"{SUMS_FILE} has no sums for {jars.name}: python -m local.jars --write-sums")
    if _sums(folder) == wanted:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.parent / f"{jars.name}.lock"):
        if _sums(folder) != wanted:  # else another process was quicker
            _download(jars, folder, java, ivy_settings, lambda got: _verify(jars, got, wanted))
    return folder


def read_sums(jars: JarSet) -> Mapping[str, str]:
    """The committed sha256 of each jar of a set, by file name."""
    sums = {}
    for line in SUMS_FILE.read_text().splitlines():
        digest, path = line.split("  ")
        set_name, _, file_name = path.partition("/")
        if set_name == jars.name:
            sums[file_name] = digest
    return sums


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.jars", description="Say which jars are accepted.")
    parser.add_argument(
        "--write-sums", action="store_true", required=True, help="trust what is fetched now: rewrite jars.sha256"
    )
    parser.parse_args()
    settings = DemoSettings()
    java = find_java(settings.cache_dir)
    lines = []
    for jars in _SETS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / jars.name
            _download(jars, folder, java, settings.ivy_settings, lambda _: None)
            lines += [f"{digest}  {jars.name}/{name}\n" for name, digest in sorted(_sums(folder).items())]
    SUMS_FILE.write_text("".join(lines))


def _download(
    jars: JarSet, folder: Path, java: Java, ivy_settings: Path | None, accept: Callable[[Path], None]
) -> None:
    """Fills the folder at once or not at all: what an aborted download leaves is never taken for jars."""
    for abandoned in folder.parent.glob(f".{jars.name}.*"):
        shutil.rmtree(abandoned)
    with tempfile.TemporaryDirectory(prefix=f".{jars.name}.", dir=folder.parent) as scratch:
        got = Path(scratch) / jars.name
        _run_ivy(jars, Path(scratch), got, java, ivy_settings)
        for jar in got.iterdir():
            if jars.only and jar.name not in jars.only:
                jar.unlink()
        accept(got)
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        got.rename(folder)


def _run_ivy(jars: JarSet, scratch: Path, target: Path, java: Java, ivy_settings: Path | None) -> None:
    dependencies = "".join(
        f'<dependency org="{group}" name="{artifact}" rev="{version}" conf="default"/>'
        for group, artifact, version in jars.coordinates
    )
    module = scratch / "ivy.xml"
    module.write_text(
        '<ivy-module version="2.0"><info organisation="local" module="jars"/>'
        f"<dependencies>{dependencies}</dependencies></ivy-module>"
    )
    # Ivy keeps a cache in the user's home: here the scratch folder is that home, so it goes too
    command: list[str | Path] = [java.executable, f"-Duser.home={scratch}", "-jar", _ivy_jar()]
    if ivy_settings is not None:
        command += ["-settings", ivy_settings]
    command += ["-ivy", module, "-confs", "default"]
    command += ["-retrieve", f"{target}/[artifact]-[revision](-[classifier]).[ext]"]
    what = ", ".join(":".join(coordinates) for coordinates in jars.coordinates)
    try:
        run = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise JarsUnavailable(f"{what}: not fetched from the Maven repository within 15 minutes") from error
    if run.returncode != 0 or not target.is_dir():
        end = "\n".join(line for line in run.stdout.splitlines()[-25:] if line.strip(". "))
        raise JarsUnavailable(
            f"{what}: could not be fetched from the Maven repository (for another one, name an Ivy settings file "
            f"in IVY_SETTINGS; {trust_advice(java)}; through a proxy, name it in "
            f"JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=HOST -Dhttps.proxyPort=PORT). Ivy said:\n{end}"
        )


def _ivy_jar() -> Path:
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise JarsUnavailable("pyspark, whose Ivy jar fetches the others, is not installed")
    found = sorted((Path(spec.origin).parent / "jars").glob("ivy-*.jar"))
    if not found:
        raise JarsUnavailable(f"no ivy-*.jar among pyspark's jars in {Path(spec.origin).parent / 'jars'}")
    return found[-1]


def _verify(jars: JarSet, folder: Path, wanted: Mapping[str, str]) -> None:
    got = _sums(folder)
    for name in sorted(wanted.keys() | got.keys()):
        if name not in got:
            raise JarsUnavailable(f"{jars.name}/{name} stands in {SUMS_FILE} and was not among what was fetched")
        if name not in wanted:
            raise JarsUnavailable(f"{jars.name}/{name} was fetched and has no sum in {SUMS_FILE}")
        if got[name] != wanted[name]:
            raise JarsUnavailable(
                f"{jars.name}/{name} has the sha256 {got[name]}, and {SUMS_FILE} says {wanted[name]}: what the "
                "Maven repository sent is not what was tested. Only if you know why, accept it: "
                "python -m local.jars --write-sums"
            )


def _sums(folder: Path) -> Mapping[str, str]:
    if not folder.is_dir():
        return {}
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in sorted(folder.iterdir())}


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process, however it ends
        yield


if __name__ == "__main__":
    main()
