"""What the README tells people to type works as it stands there."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


SQL = [statement.strip() for block in blocks("sql") for statement in block.split(";\n") if statement.strip()]
TARGETS = sorted(set(re.findall(r"\bmake ((?:[a-z]+-?)+)\b", README)))


def test_the_readme_has_commands_and_queries() -> None:
    assert {"demo", "test", "psql", "env", "clean"} <= set(TARGETS)
    assert len(SQL) >= 4


@pytest.mark.parametrize("statement", SQL)
def test_each_query_of_the_readme_runs(new_database: Callable[[], str], statement: str) -> None:
    connection = psycopg2.connect(new_database())
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            assert cursor.description is not None
    finally:
        connection.close()


@pytest.mark.parametrize("target", TARGETS)
def test_each_make_target_of_the_readme_exists(target: str) -> None:
    run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_each_link_of_the_readme_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
