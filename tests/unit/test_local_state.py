"""One demo a state folder, passwords that stay, and addresses that are told only while it runs."""

import json
import stat
from dataclasses import asdict
from pathlib import Path

import pytest

from local.state import AlreadyRunning, held, passwords, published, running_addresses


def test_a_state_folder_is_held_by_one_demo(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(AlreadyRunning, match=r"a demo runs already \(process \d+, folder "),
        held(tmp_path),
    ):
        pass
    with held(tmp_path):
        pass


def test_passwords_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    made = passwords(tmp_path / "source")
    assert passwords(tmp_path / "source") == made
    assert len({made.superuser, made.writer, made.reader}) == 3
    file = tmp_path / "source" / "passwords.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = asdict(made)
    del kept["spark"]  # as of a version that had one less
    file.write_text(json.dumps(kept))
    again = passwords(tmp_path / "source")
    assert asdict(again) | {"spark": made.spark} == asdict(made)
    assert len(again.spark) >= 43


def test_addresses_are_shell_assignments_told_only_while_the_demo_runs(tmp_path: Path) -> None:
    assert running_addresses(tmp_path) is None
    with held(tmp_path):
        assert running_addresses(tmp_path) is None
        with published(tmp_path, {"KAFKA_TOPIC": "raw_trades", "POSTGRES_DSN": "host=a password='b c'"}):
            told = running_addresses(tmp_path)
            assert told == "KAFKA_TOPIC=raw_trades\nPOSTGRES_DSN='host=a password='\"'\"'b c'\"'\"''\n"
        assert running_addresses(tmp_path) is None


def test_what_a_killed_demo_left_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "addresses.env").write_text("KAFKA_TOPIC=raw_trades\n")
    (tmp_path / "demo.lock").touch()
    assert running_addresses(tmp_path) is None
    with held(tmp_path):  # the next one, which is not up yet
        assert running_addresses(tmp_path) is None
