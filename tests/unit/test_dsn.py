"""A DSN that cannot be read is refused by its variable's name, and what is said of it does not quote it."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from containers.settings import ContainerSettings
from local.settings import DemoSettings
from spark_processor.settings import JobSettings

READABLE = [
    "postgresql://127.0.0.1:5432/crypto_data",
    "postgresql://user:p%2Fass%40word@db.example.com:6432/crypto_data?sslmode=require",
    "postgresql://user:password@one:5432,two:5432/crypto_data",
    "host=127.0.0.1 dbname=crypto_data user=user password='pass word'",
]
UNREADABLE = [
    "postgresql:/user:planted@127.0.0.1/crypto_data",
    "user:planted@127.0.0.1",
    "postgresql://user:planted/planted@127.0.0.1:5432/crypto_data",
    "postgresql://user:planted@planted@127.0.0.1:5432/crypto_data",
    "postgresql://user:planted@127.0.0.1:5432/crypto_data?pasword=planted",
]


@pytest.mark.parametrize("dsn", READABLE)
def test_a_dsn_that_can_be_read_is_taken_as_it_is(dsn: str) -> None:
    assert JobSettings(postgres_dsn=dsn).postgres_dsn == dsn
    assert DemoSettings(postgres_dsn=dsn).postgres_dsn == dsn
    assert ContainerSettings(external_postgres_dsn=dsn).external_postgres_dsn == dsn


@pytest.mark.parametrize("dsn", UNREADABLE)
def test_one_that_cannot_be_read_is_refused_without_being_quoted(dsn: str) -> None:
    for settings, variable in (
        (JobSettings, "postgres_dsn"),
        (DemoSettings, "postgres_dsn"),
        (ContainerSettings, "external_postgres_dsn"),
    ):
        with pytest.raises(ValidationError) as refused:
            settings(**{variable: dsn})
        assert variable in str(refused.value)
        assert "planted" not in str(refused.value)


@pytest.mark.parametrize("module", ["spark_processor.job", "local.demo"])
def test_what_is_started_with_one_ends_with_a_word_on_the_variable_alone(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, "POSTGRES_DSN": UNREADABLE[2]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith(
        "POSTGRES_DSN: Value error, cannot be read: it should be postgresql://user:password@"
    )
    assert "planted" not in run.stdout + run.stderr
