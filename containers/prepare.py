"""`python -m containers.prepare`: the service `settings`, which runs to its end before the others start.

It finds out whether the trades are real or the simulator's, makes up the passwords that `.env` leaves empty, and
writes what each service needs into a volume of that service's own. `--show` prints the logins of people instead.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
from pydantic import ValidationError

from containers import airflow, pgadmin
from containers.passwords import Passwords, choose, read
from containers.places import Places, places
from containers.settings import ContainerSettings
from local import provision, source
from local.cluster import master_properties
from local.settings import DemoSettings

FOLDER = Path("/settings")
OWN = FOLDER / "all"

_SIMULATOR = "simulator:8090"
_METRICS_URL = "http://prometheus:9090"
_RECOVERY = Path("/var/lib/spark/recovery")  # of the Spark master


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m containers.prepare", description="Settings for the services.")
    parser.add_argument("--show", action="store_true", help="print the logins of people, and change nothing")
    try:
        settings = ContainerSettings()
        if parser.parse_args().show:
            print(logins(settings, read(OWN)))  # noqa: T201 - asked for
            return 0
        chosen = choose_source(simulated=_answers(f"http://{_SIMULATOR}/_control/status"))
        mark = source.identity(chosen, OWN)
    except ValidationError as error:
        for detail in error.errors():
            sys.stderr.write(f"{'_'.join(map(str, detail['loc'])).upper()}: {detail['msg']}\n")
        return 2
    except FileNotFoundError:
        sys.stderr.write("nothing is set up yet: docker compose up -d\n")
        return 1
    except source.SourceRefused:
        sys.stderr.write(
            "the volumes hold trades of another source, and trades of two never mix: start with the same profile "
            "and addresses as before, or forget what is there with docker compose --profile demo down -v\n"
        )
        return 1
    passwords = choose(settings, OWN, demo=chosen.simulated)
    where = places(settings, passwords)
    metrics_url = _METRICS_URL if _answers(f"{_METRICS_URL}/-/healthy") else None
    _write_all(settings, passwords, where, chosen, metrics_url)
    print(f"trades of the source {mark}")  # noqa: T201 - a container's log
    return 0


def choose_source(simulated: bool) -> source.Source:
    """The simulator where it runs, else what the addresses of the environment say. Raises SourceRefused."""
    if not simulated:
        return source.choose(DemoSettings(live=True))
    http = f"http://{_SIMULATOR}"
    return source.Source(f"ws://{_SIMULATOR}", http, http, True, source.SIMULATED)


def logins(settings: ContainerSettings, passwords: Passwords) -> str:
    """What people log in with."""
    return "\n".join(
        [
            f"Airflow   admin {passwords.airflow_admin}",
            f"pgAdmin   {settings.pgadmin_email} {passwords.pgadmin}",
            f"Postgres  {provision.READER} {passwords.reader} (reads all)",
            f"Postgres  postgres {passwords.superuser} (superuser)",
        ]
    )


def _write_all(
    settings: ContainerSettings,
    passwords: Passwords,
    where: Places,
    chosen: source.Source,
    metrics_url: str | None,
) -> None:
    outside = {
        "BINANCE_WS_URL": chosen.binance_ws_url,
        "BINANCE_REST_URL": chosen.binance_rest_url,
        "KUCOIN_REST_URL": chosen.kucoin_rest_url,
        "KAFKA_BOOTSTRAP_SERVERS": where.kafka,
    }
    in_airflow = airflow.environ(settings, passwords, where, OWN / "airflow", metrics_url)
    _write(FOLDER / "producer" / "settings.env", _assignments(outside))
    _write(FOLDER / "airflow" / "settings.env", _assignments({**outside, **in_airflow}))
    _write(FOLDER / "airflow" / "passwords.json", airflow.passwords_file(OWN / "airflow"))
    job = {
        "KAFKA_BOOTSTRAP_SERVERS": where.kafka,
        "POSTGRES_DSN": where.writer_dsn,
        "SPARK_MASTER_URL": where.spark_master_url,
    }
    _write(FOLDER / "spark" / "settings.env", _assignments(job))
    _write(FOLDER / "spark-master" / "master.conf", master_properties("0.0.0.0", 6066, _RECOVERY, passwords.spark))  # noqa: S104 - of the container
    _write(FOLDER / "postgres" / "password", passwords.superuser)
    _write(FOLDER / "pgadmin" / "password", passwords.pgadmin)
    _write(FOLDER / "pgadmin" / "servers.json", pgadmin.servers(where.reader_dsn))
    _write(FOLDER / "pgadmin" / "pgpass", pgadmin.pgpass(where.reader_dsn))


def _assignments(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def _write(file: Path, text: str) -> None:
    """At once or not at all. Other users of the one container that mounts the folder may read it."""
    unfinished = file.with_suffix(".new")
    unfinished.write_text(text)
    unfinished.chmod(0o444)
    unfinished.replace(file)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    sys.exit(main())
