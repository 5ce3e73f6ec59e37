"""Airflow's REST API, as far as starting it and its DAGs needs.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class AirflowApi:
    """The API server at this address. admin_password: of the user `admin`."""

    url: str
    admin_password: str = field(repr=False)

    def health(self) -> dict[str, str]:
        """The state of each part, `healthy` or not, as the server sees it; empty where it does not answer."""
        try:
            answer = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=10).raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return {}
        return {name: str(part["status"]) for name, part in answer.items() if part}

    def token(self) -> str:
        """A bearer token of the user `admin` for `/api/v2`. Raises httpx.HTTPError."""
        login = {"username": "admin", "password": self.admin_password}
        answer = httpx.post(f"{self.url}/auth/token", json=login, timeout=30).raise_for_status()
        return str(answer.json()["access_token"])

    def trigger(self, dag_id: str, params: Mapping[str, Any] | None = None) -> str:
        """Triggers a DAG and returns the id of its run. Raises httpx.HTTPError, also where there is none."""
        answer = httpx.post(
            f"{self.url}/api/v2/dags/{dag_id}/dagRuns",
            json={"logical_date": None, "conf": dict(params or {})},
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=30,
        ).raise_for_status()
        return str(answer.json()["dag_run_id"])

    def has_active_run(self, dag_id: str) -> bool:
        """Whether a run of the DAG is queued or runs: to ask before triggering one. Raises httpx.HTTPError."""
        answer = httpx.get(
            f"{self.url}/api/v2/dags/{dag_id}/dagRuns",
            params={"state": ["queued", "running"], "limit": 1},
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=30,
        ).raise_for_status()
        return bool(answer.json()["total_entries"])
