"""Jars are taken whole and right, or not at all. Ivy is played by a script that writes what it is told to."""

import hashlib
import re
from pathlib import Path

import pytest

from local import jars
from local.jars import BROKER, SPARK_CONNECTOR, JarSet, JarsUnavailable, fetch, read_sums
from local.java import Java

SMALL = JarSet("small", (("org.example", "small", "1"),), frozenset({"a.jar", "b.jar"}))


def repository(tmp_path: Path, script: str) -> Java:
    """A Java that, asked to run Ivy, does this with the folder of the jars in $target instead."""
    executable = tmp_path / "java" / "bin" / "java"
    executable.parent.mkdir(parents=True, exist_ok=True)
    executable.write_text(
        '#!/bin/sh\nfor target; do :; done\ntarget="$(dirname "$target")"\nmkdir -p "$target"\n' + script
    )
    executable.chmod(0o755)
    return Java(tmp_path / "java", 17, "a test")


@pytest.fixture
def sums_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "jars.sha256"
    file.write_text(
        "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  small/{name}.jar\n" for name in ("a", "b"))
    )
    monkeypatch.setattr(jars, "SUMS_FILE", file)
    return file


GOOD = 'printf a >"$target/a.jar"; printf b >"$target/b.jar"; printf c >"$target/unwanted.jar"\n'


def test_jars_are_fetched_once_and_only_those_wanted(tmp_path: Path, sums_file: Path) -> None:
    folder = fetch(SMALL, tmp_path / "cache", repository(tmp_path, GOOD))
    assert {jar.name: jar.read_text() for jar in folder.iterdir()} == {"a.jar": "a", "b.jar": "b"}
    assert fetch(SMALL, tmp_path / "cache", repository(tmp_path, "exit 1")) == folder


def test_a_jar_that_is_not_what_was_tested_is_named_and_not_kept(tmp_path: Path, sums_file: Path) -> None:
    bad = repository(tmp_path, GOOD + 'printf x >"$target/b.jar"\n')
    with pytest.raises(JarsUnavailable, match=re.escape("small/b.jar has the sha256 2d711642b726b04401627ca9fb")):
        fetch(SMALL, tmp_path / "cache", bad)
    assert not (tmp_path / "cache" / "jars" / "small").exists()


def test_a_jar_that_is_missing_is_named(tmp_path: Path, sums_file: Path) -> None:
    with pytest.raises(JarsUnavailable, match=r"small/b\.jar stands in .* was not among what was fetched"):
        fetch(SMALL, tmp_path / "cache", repository(tmp_path, 'printf a >"$target/a.jar"\n'))


def test_what_an_aborted_download_left_is_swept_up(tmp_path: Path, sums_file: Path) -> None:
    left = tmp_path / "cache" / "jars" / ".small.left"
    left.mkdir(parents=True)
    (left / "a.jar").write_text("half of it")
    folder = fetch(SMALL, tmp_path / "cache", repository(tmp_path, GOOD))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["small", "small.lock"]


def test_a_spoilt_jar_in_the_cache_is_fetched_again(tmp_path: Path, sums_file: Path) -> None:
    folder = fetch(SMALL, tmp_path / "cache", repository(tmp_path, GOOD))
    (folder / "a.jar").write_text("spoilt")
    fetch(SMALL, tmp_path / "cache", repository(tmp_path, GOOD))
    assert (folder / "a.jar").read_text() == "a"


def test_a_failure_says_what_ivy_said_and_what_to_do(tmp_path: Path, sums_file: Path) -> None:
    failing = repository(tmp_path, "echo 'SERVER ERROR: Bad Gateway'; exit 1\n")
    with pytest.raises(
        JarsUnavailable, match=r"(?s)org\.example:small:1: .*IVY_SETTINGS.*SERVER ERROR: Bad Gateway"
    ):
        fetch(SMALL, tmp_path / "cache", failing)


def test_a_set_without_sums_is_refused(tmp_path: Path, sums_file: Path) -> None:
    sums_file.write_text("")
    with pytest.raises(JarsUnavailable, match="--write-sums"):
        fetch(SMALL, tmp_path / "cache", repository(tmp_path, GOOD))


def test_the_committed_sums_hold_both_sets() -> None:
    assert {"kafka_2.13-4.3.1.jar", "log4j-slf4j-impl-2.25.4.jar"} < read_sums(BROKER).keys()
    assert read_sums(SPARK_CONNECTOR).keys() == SPARK_CONNECTOR.only
