"""The passwords of the containers: chosen in `.env`, else well known in the demo, else made up once and kept."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from containers.settings import ContainerSettings
from local.airflow import DEFAULT_PASSWORD

_FILE = "passwords.json"

# Who tries the demo wants to get in; it holds nothing but made-up trades.
_OF_THE_DEMO = {"airflow_admin": DEFAULT_PASSWORD, "pgadmin": DEFAULT_PASSWORD, "reader": "reader"}


@dataclass(frozen=True, slots=True)
class Passwords:
    """airflow_admin, pgadmin: of people at the pages. spark: the key to the master's submissions. The others: of
    users of the database.
    """

    airflow_admin: str
    pgadmin: str
    superuser: str
    reader: str
    writer: str
    monitor: str
    airflow_db: str
    spark: str


def choose(settings: ContainerSettings, folder: Path, demo: bool) -> Passwords:
    """What holds from now on. What is made up lies in the folder, in a file for its owner alone."""
    file = folder / _FILE
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    given = {
        "airflow_admin": settings.airflow_admin_password,
        "pgadmin": settings.pgadmin_password,
        "superuser": settings.postgres_password,
        "reader": settings.postgres_reader_password,
        "writer": settings.postgres_writer_password,
        "monitor": settings.postgres_monitor_password,
        "airflow_db": settings.airflow_db_password,
        "spark": settings.external_spark_key,
    }
    known = _OF_THE_DEMO if demo else {}
    chosen = Passwords(
        **{
            name: value or known.get(name) or kept.get(name) or secrets.token_urlsafe(32)
            for name, value in given.items()
        }
    )
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(chosen)))
    return chosen


def read(folder: Path) -> Passwords:
    """What `choose` chose last."""
    return Passwords(**json.loads((folder / _FILE).read_text()))
