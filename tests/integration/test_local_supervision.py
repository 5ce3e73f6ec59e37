"""The supervisor with real processes: what starts, starts again, and in which order all ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local import leftovers
from local.supervision import Program, ProgramFailed, supervised

# Writes into a journal when it is up, and when it has ended in order.
SERVICE = """
import pathlib, signal, sys, time
name, journal = sys.argv[1], pathlib.Path(sys.argv[2])
def say(what):
    with journal.open("a") as file:
        file.write(f"{name} {what}\\n")
def stop(*_):
    say("ends")
    time.sleep(0.3)
    say("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
say("up")
signal.pause()
"""


def wait_until(condition: Callable[[], object], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    file = tmp_path / "journal"
    file.touch()
    return file


def service(name: str, journal: Path) -> Program:
    script = journal.with_name("service.py")
    script.write_text(SERVICE)
    command = [sys.executable, str(script), name, str(journal)]
    return Program(name, command, lambda: f"{name} up" in journal.read_text())


def test_programs_end_one_after_the_other_the_last_one_first(tmp_path: Path, journal: Path) -> None:
    programs = [service(name, journal) for name in ("database", "job", "producer")]
    with supervised(programs, tmp_path, os.environ) as supervisor:
        for program in programs:
            supervisor.start(program)
        assert dict.fromkeys(supervisor.states()) == dict.fromkeys(["database", "job", "producer"])
    assert journal.read_text().splitlines() == [
        *("database up", "job up", "producer up"),
        *("producer ends", "producer ended", "job ends", "job ended", "database ends", "database ended"),
    ]


def test_a_program_that_ends_is_started_again(tmp_path: Path, journal: Path) -> None:
    program = service("job", journal)
    with supervised([program], tmp_path, {**os.environ, **leftovers.mark(tmp_path)}) as supervisor:
        supervisor.start(program)
        wait_until(lambda: supervisor.states()["job"] == "RUNNING")
        (job,) = [process for process in leftovers.find(tmp_path) if "supervisord" not in str(process.cmdline())]
        job.kill()
        wait_until(lambda: journal.read_text().count("job up") == 2)


def test_a_program_that_does_not_start_is_named_with_what_it_said(tmp_path: Path) -> None:
    program = Program("job", ["sh", "-c", "echo the lid is stuck; exit 3"], lambda: False, ready_within_s=3)
    said = r"job is not ready after 3 s; the end of .*job\.log:\nthe lid is stuck"
    with (
        supervised([program], tmp_path, os.environ) as supervisor,
        pytest.raises(ProgramFailed, match=said),
    ):
        supervisor.start(program)


def test_paths_with_spaces_and_percent_signs_reach_the_program(tmp_path: Path) -> None:
    said = tmp_path / "100%s of it"
    program = Program("one", ["touch", str(said)], said.exists)
    with supervised([program], tmp_path, os.environ) as supervisor:
        supervisor.start(program)
    assert said.exists()


def test_what_a_killed_demo_left_is_found_by_its_mark_and_ended_in_order(tmp_path: Path, journal: Path) -> None:
    script = """
import os, pathlib, sys, time
from local import leftovers
from local.supervision import Program, supervised
folder = pathlib.Path(sys.argv[1])
journal = folder / "journal"
programs = [Program(name, [sys.executable, str(folder / "service.py"), name, str(journal)],
                    lambda name=name: f"{name} up" in journal.read_text()) for name in ("database", "job")]
with supervised(programs, folder, {**os.environ, **leftovers.mark(folder)}) as supervisor:
    for program in programs:
        supervisor.start(program)
    print("up", flush=True)
    time.sleep(600)
"""
    (tmp_path / "service.py").write_text(SERVICE)
    demo = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert demo.stdout is not None
    assert demo.stdout.readline() == b"up\n"
    demo.send_signal(signal.SIGKILL)
    demo.communicate()
    assert len(leftovers.find(tmp_path)) == 3
    assert leftovers.end(tmp_path) == 3
    assert leftovers.find(tmp_path) == []
    assert journal.read_text().splitlines()[2:] == ["job ends", "job ended", "database ends", "database ended"]


def test_without_their_supervisor_what_is_left_is_ended_too(tmp_path: Path) -> None:
    environ = {**os.environ, **leftovers.mark(tmp_path)}
    deaf = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], env=environ)
    other = subprocess.Popen(["sleep", "600"])
    try:
        assert leftovers.end(tmp_path, within_s=1) >= 1
        assert not psutil.pid_exists(deaf.pid)
        assert other.poll() is None
    finally:
        deaf.poll()
        other.kill()
        other.wait()
