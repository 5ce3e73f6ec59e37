"""Tests of DAGs and plugins run in Airflow's own environment, against a database of their own.

.state/airflow-venv/bin/python -m pytest tests/dags
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# Airflow reads its settings when it is first imported, and that is before any fixture.
_home = tempfile.mkdtemp(prefix="airflow-tests-")
os.environ.update(
    {
        "AIRFLOW_HOME": _home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow" / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "airflow" / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        # nothing may ask for it: not at import, not in these tests
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:1/none",
    }
)
for folder in ("dags", "plugins"):  # Airflow's own processes have both on their path
    sys.path.append(str(ROOT / "airflow" / folder))


@pytest.fixture(scope="session")
def dags() -> dict[str, Any]:
    """All DAGs, by their ids."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=ROOT / "airflow" / "dags")
    assert bag.import_errors == {}
    return dict(bag.dags)
