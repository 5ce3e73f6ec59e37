"""House rules of every DAG, whoever adds it."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DAGS_DIR = Path(__file__).parents[2] / "airflow" / "dags"
FILES = sorted(DAGS_DIR.glob("*.py"))
# what takes seconds or a hundred megabytes to import belongs into a task
HEAVY = {"duckdb", "numpy", "pandas", "pyarrow", "pyspark", "kafka"}


def test_each_file_holds_one_dag_of_its_own_name(dags: dict[str, Any]) -> None:
    assert sorted(dags) == [file.stem for file in FILES]
    assert [Path(dag.fileloc).stem for _, dag in sorted(dags.items())] == sorted(dags)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_a_file_is_imported_without_warning_connection_or_heavy_module(file: Path) -> None:
    """In a process of its own: what is imported already is not imported again."""
    script = f"""
import socket, sys, warnings
import airflow.sdk, airflow.providers.apache.spark.operators.spark_submit, airflow.providers.smtp.hooks.smtp
sys.path += [{str(DAGS_DIR)!r}, {str(DAGS_DIR.parent / "plugins")!r}]
before = set(sys.modules)
def refuse(*args, **kwargs):
    raise AssertionError(f"a DAG file connects at import: {{args}}")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
warnings.simplefilter("error")
import {file.stem}
print(sorted({{name.split(".")[0] for name in set(sys.modules) - before}} & {HEAVY!r}))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, ["[]"]), run.stderr[-3000:]


def test_the_metadata_database_of_these_tests_does_not_exist() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 1))


def test_each_dag_explains_itself(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert dag.doc_md is not None, dag_id
        assert "## Runbook" in dag.doc_md, dag_id
        assert "| Symptom | What it means | What to do |" in dag.doc_md, dag_id
        assert dag.tags >= {"crypto"}, dag_id
        assert dag.owner not in ("", "airflow"), dag_id


def test_each_dag_runs_once_at_a_time_and_never_catches_up(dags: dict[str, Any]) -> None:
    assert {dag_id: (dag.max_active_runs, dag.catchup) for dag_id, dag in dags.items()} == dict.fromkeys(
        dags, (1, False)
    )


def test_each_param_says_what_it_is_and_what_it_may_be(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        for name in dag.params:
            param = dag.params.get_param(name)
            assert param.description, (dag_id, name)
            assert param.schema.keys() & {"pattern", "enum", "minimum", "format", "items", "examples"}, (
                dag_id,
                name,
            )


def test_each_task_that_fails_sends_a_mail(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            names = [type(callback).__name__ for callback in task.on_failure_callback]
            assert names == ["FailedTaskNotifier"], task.label
