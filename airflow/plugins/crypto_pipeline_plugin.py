"""What Airflow itself loads of this folder: the listeners.

Airflow executes every .py file below the plugins folder by its bare name, whatever package it is in, and leaves it
in `sys.modules` under that name: submit/operator.py would take the place of the standard library's `operator`. So
.airflowignore keeps it from the package, which is imported like any other, since this folder is on `sys.path`.
"""

from airflow.plugins_manager import AirflowPlugin

from crypto_pipeline import leftover_workers
from crypto_pipeline.submit import listener


class CryptoPipelinePlugin(AirflowPlugin):
    """Registers the listeners' hooks."""

    name = "crypto_pipeline"
    listeners = [listener, leftover_workers]  # noqa: RUF012 - Airflow's own declaration of it
