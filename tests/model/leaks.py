"""Where a running demo shows something, and which of its secrets stand there."""

import json
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import psutil
import psycopg2
from model.demo import Demo
from psycopg2 import sql

from local import airflow, provision

_MOST_PAGES = 300
_LOGIN_TOKEN = re.compile(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")  # of Airflow's users and tasks


@dataclass(frozen=True)
class Place:
    """name: of a file, a page, a process. text: what it shows."""

    name: str
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Secrets:
    """values: by name. files: those that are there to hold them."""

    values: Mapping[str, str]
    files: Sequence[Path]


def secrets_of(demo: Demo) -> Secrets:
    """Every password and key of a demo that runs; each is long and made up, so that no text has it by chance."""
    [made] = demo.state_dir.glob("*/passwords.json")
    [keys] = demo.state_dir.glob("*/airflow/keys.json")
    [users] = demo.state_dir.glob("*/airflow/passwords.json")
    values = {
        f"{file.parent.name}/{file.name}: {name}": value
        for file in (made, keys, users)
        for name, value in json.loads(file.read_text()).items()
    }
    assert len(values) == 10
    assert min(map(len, values.values())) > 16
    [master] = demo.state_dir.glob("*/spark/conf/master.conf")
    return Secrets(values, [made, keys, users, master, demo.state_dir / "addresses.env"])


def leaks(shown: Sequence[Place], secrets: Mapping[str, str]) -> list[str]:
    """Which secrets, or tokens that log in, stand where."""
    found = []
    for place in shown:
        found += [f"{place.kind} {place.name}: {name}" for name, value in secrets.items() if value in place.text]
        found += [
            f"{place.kind} {place.name}: the token {t[:20]}..." for t in _LOGIN_TOKEN.findall(place.text)[:1]
        ]
    return found


def places(demo: Demo, not_these: Sequence[Path]) -> Iterator[Place]:
    """All that a running demo shows, to whoever looks: not_these files are left out."""
    addresses = demo.addresses()
    yield from _files(demo, not_these)
    yield from _processes(demo)
    yield from _tables(addresses["POSTGRES_SUPERUSER_DSN"])
    with httpx.Client(timeout=60, follow_redirects=True) as client:
        yield from _crawled(client, "spark page", _spark_pages(client, demo))
        yield from _submissions(client, demo)
        metrics = [
            f"http://127.0.0.1:{demo.environ[name]}/metrics" for name in ("METRICS_PORT", "JOB_METRICS_PORT")
        ]
        health = f"http://127.0.0.1:{demo.environ['METRICS_PORT']}/healthz"
        yield from _crawled(client, "page", [*metrics, health, f"{addresses['BINANCE_REST_URL']}/_control/status"])
        yield from _crawled(client, "mail", [addresses["MAILBOX_URL"], f"{addresses['MAILBOX_URL']}/api/mails"])
    yield from (Place(mail["subject"], json.dumps(mail), "mail") for mail in demo.mails())
    yield from _airflow_pages(demo)


def _files(demo: Demo, not_these: Sequence[Path]) -> Iterator[Place]:
    """All but the data of Postgres, whose tables are looked at instead."""
    found = [demo.state_dir.parent / "output"]
    for folder, _, names in os.walk(demo.state_dir):
        found += [Path(folder) / name for name in names if "postgres" not in Path(folder).parts]
    for path in found:
        if path.is_file() and path not in not_these:
            with suppress(FileNotFoundError):  # of a batch that has ended
                yield Place(
                    str(path.relative_to(demo.state_dir.parent)), path.read_bytes().decode("latin-1"), "file"
                )


def _processes(demo: Demo) -> Iterator[Place]:
    for process in demo.processes():
        with suppress(psutil.NoSuchProcess):  # a task's, that ended meanwhile
            yield Place(f"{process.name()} {process.pid}", "\0".join(process.cmdline()), "process")


def _tables(superuser_dsn: str) -> Iterator[Place]:
    """Every row of the pipeline's database and of Airflow's, which keeps there what tasks take and return."""
    for name in (provision.DATABASE, airflow.DATABASE):
        dsn = provision.changed(superuser_dsn, dbname=name)
        with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("select tablename from pg_tables where schemaname = 'public'")
            for (table,) in cursor.fetchall():
                rows = sql.SQL("select string_agg(shown::text, chr(10)) from {} as shown")
                cursor.execute(rows.format(sql.Identifier(table)))
                shown = cursor.fetchone()
                yield Place(f"{name}.{table}", str(shown and shown[0]), "table")


def _spark_pages(client: httpx.Client, demo: Demo) -> list[str]:
    """Where Spark's pages begin: of master, worker and application, as pages and as REST."""
    master = f"http://127.0.0.1:{demo.environ['SPARK_MASTER_UI_PORT']}"
    worker = f"http://127.0.0.1:{demo.environ['SPARK_WORKER_UI_PORT']}"
    state = client.get(f"{master}/json/").raise_for_status().json()
    begins = [master, f"{master}/json/", worker, f"{worker}/json/"]
    for application in state["activeapps"]:
        proxied = f"{master}/proxy/{application['id']}"
        begins += [f"{proxied}/{page}/" for page in ("environment", "executors", "jobs")]
        rest = f"{proxied}/api/v1/applications/{application['id']}"
        begins += [rest, f"{rest}/environment", f"{rest}/allexecutors", f"{rest}/executors/driver/threads"]
    return begins


def _submissions(client: httpx.Client, demo: Demo) -> Iterator[Place]:
    """What the server that takes drivers says of each."""
    state = client.get(f"http://127.0.0.1:{demo.environ['SPARK_MASTER_UI_PORT']}/json/").raise_for_status().json()
    with demo.submissions() as submissions:
        for driver in (*state["activedrivers"], *state["completeddrivers"]):
            answer = submissions.get(f"status/{driver['id']}").raise_for_status()
            yield Place(str(answer.url), answer.text, "spark page")


def _crawled(client: httpx.Client, kind: str, begins: Sequence[str]) -> Iterator[Place]:
    """These pages, and those of the same servers that they lead to; not those by which Spark ends something."""
    servers = {urlsplit(url).netloc for url in begins}
    waiting, known = deque(begins), set(begins)
    while waiting and len(known) < _MOST_PAGES:
        url = waiting.popleft()
        answer = client.get(url)
        yield Place(url, answer.text, kind)
        for link in re.findall(r"""(?:href|src)=["']([^"'#]+)""", answer.text):
            found = urljoin(str(answer.url), link.replace("&amp;", "&"))
            passed_over = "/static/" in found or "/kill" in found
            if urlsplit(found).netloc in servers and not passed_over and found not in known:
                known.add(found)
                waiting.append(found)


def _airflow_pages(demo: Demo) -> Iterator[Place]:
    """What the API gives to the admin, who sees the most: of every run, task and try, with its log."""
    with demo.airflow() as client:

        def page(path: str, **params: Any) -> Iterator[Place]:
            yield Place(path, client.get(path, params=params).text, "airflow page")

        for path in ("config", "connections", "variables", "plugins", "providers", "jobs", "eventLogs", "pools"):
            yield from page(path, limit=100)
        for path in ("importErrors", "dagWarnings", "dagStats", "assets/events", "monitor/health"):
            yield from page(path)
        for name in ("crypto_pipeline_postgres", "crypto_pipeline_spark", "smtp_default"):
            yield from page(f"connections/{name}")
        runs = (
            client.get("dags/~/dagRuns", params={"limit": 100, "order_by": "-id"})
            .raise_for_status()
            .json()["dag_runs"]
        )
        for dag_id in {run["dag_id"] for run in runs}:
            for path in (f"dags/{dag_id}/details", f"dags/{dag_id}/tasks", f"dagSources/{dag_id}"):
                yield from page(path)
        for run in runs:
            instances = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
            listed = client.get(instances, params={"limit": 100}).raise_for_status().json()["task_instances"]
            yield from page(instances, limit=100)
            for task in listed:
                one = f"{instances}/{task['task_id']}"
                mapped = {"map_index": task["map_index"]}
                yield from page(f"{one}/xcomEntries", **mapped)
                yield from page(f"{one}/state-store", **mapped)
                yield from page(f"{one}/links", **mapped)
                for number in range(1, task["try_number"] + 1):
                    yield from page(f"{one}/logs/{number}", **mapped)
