"""A DAG of the tests: what the monitor does with drivers that no run owns."""

from typing import Any

from airflow.sdk import DAG, get_current_context, task

from crypto_pipeline.submit.connection import SUBMIT_CONN_ID, spark_connection
from crypto_pipeline.submit.reaper import owned_drivers, reap

with DAG("reap", schedule=None, params={"grace_s": 60}):

    @task
    def reap_strays() -> dict[str, Any]:
        context = get_current_context()
        owned = owned_drivers(context["ti"])
        if owned is None:
            return {"owned": None, "killed": []}
        killed = reap(spark_connection(SUBMIT_CONN_ID).master, owned, context["params"]["grace_s"])
        return {"owned": sorted(owned), "killed": killed}

    reap_strays()
