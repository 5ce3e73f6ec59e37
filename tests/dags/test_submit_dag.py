"""The submit DAG agrees with the modules that own its driver."""

from typing import Any

import pytest
from jsonschema import ValidationError, validate

from crypto_pipeline.submit.connection import SUBMIT_DAG_ID, SUBMIT_TASK_ID
from crypto_pipeline.submit.operator import SparkDriverOperator


@pytest.fixture
def dag(dags: dict[str, Any]) -> Any:
    return dags["crypto_pipeline_submit_dag"]


def test_the_listener_and_the_reaper_know_its_task(dag: Any) -> None:
    (task,) = dag.tasks
    assert (dag.dag_id, task.task_id) == (SUBMIT_DAG_ID, SUBMIT_TASK_ID)
    assert isinstance(task, SparkDriverOperator)
    assert task._conn_id == "crypto_pipeline_spark"


def test_a_stream_has_no_last_try(dag: Any) -> None:
    (task,) = dag.tasks
    assert task.retries == 1_000_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trigger_interval", "0 seconds"),
        ("trigger_interval", "1 second"),
        ("trigger_interval", "10 minutes"),
        ("batch_size", 1_000),
        ("batch_size", 5_000_000),
    ],
)
def test_a_value_within_bounds_is_taken(dag: Any, name: str, value: Any) -> None:
    validate(value, dag.params.get_param(name).schema)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trigger_interval", "often"),
        ("trigger_interval", "1 second; rm -rf /"),
        ("trigger_interval", "-1 seconds"),
        ("batch_size", 999),
        ("batch_size", 5_000_001),
        ("batch_size", "many"),
    ],
)
def test_a_value_out_of_bounds_is_refused(dag: Any, name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        validate(value, dag.params.get_param(name).schema)
