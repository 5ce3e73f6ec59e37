"""Who gets in, and what can be read by those who do not: tried on the running demo."""

import json
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

import httpx
import psutil
import pytest
from model.demo import Demo, wait_until
from model.leaks import Place, leaks, places, secrets_of

from local.provision import MONITOR, WRITER

AIRFLOW_PYTHON = ".state/airflow-venv/bin/python"

# What Airflow answers to anyone: pages without data, the way to log in, whether it lives, and its documentation.
OPEN = {
    "/api/v2/auth/login",
    "/api/v2/auth/logout",
    "/api/v2/monitor/health",
    "/api/v2/version",
    "/api/v1/{_:path}",
    "/api/{_:path}",
    "/auth/token",
    "/auth/token/cli",
    "/auth/token/login",
    "/auth/{rest_of_path:path}",
    "/execution/changelog",
    "/execution/health",
    "/execution/health/ping",
    "/health",
    "/{rest_of_path:path}",
    *(f"{part}/{page}" for part in ("", "/auth", "/execution") for page in ("docs", "openapi.json", "redoc")),
    *(f"{part}/docs/oauth2-redirect" for part in ("", "/auth", "/execution")),
}
REFUSED = {401, 403}


@dataclass(frozen=True)
class Door:
    """Airflow's server: all that it answers to; tokens of users of less than all rights; forged ones."""

    url: str
    routes: list[tuple[str, str]]
    tokens: dict[str, str]
    forged: dict[str, str]

    def ask(self, **headers: str) -> dict[tuple[str, str], int]:
        """The status of each route that is not open to anyone, asked with these headers."""
        with httpx.Client(base_url=self.url, headers=headers, timeout=60) as client:
            return {
                (method, path): client.request(method, _filled(path)).status_code
                for method, path in self.routes
                if path not in OPEN
            }


def _filled(path: str) -> str:
    """A path with values for its names; of a DAG that is there."""
    return re.sub(r"{[^}]*}", "1", path.replace("{dag_id}", "crypto_pipeline_audit_dag"))


@pytest.fixture(scope="module")
def door(demo: Demo) -> Door:
    server = psutil.Process(demo.programs()["api-server"][1])
    run = subprocess.run(
        [AIRFLOW_PYTHON, "tests/e2e/airflow_routes.py"],
        env=server.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    routes = [(method, path) for method, path in told["routes"]]
    assert len(routes) > 200
    return Door(demo.addresses()["AIRFLOW_URL"], routes, told["tokens"], told["forged"])


@pytest.mark.timeout(900)
def test_airflow_answers_nobody_without_a_login(door: Door) -> None:
    answered = {route: status for route, status in door.ask().items() if status not in REFUSED}
    assert answered == {}


@pytest.mark.timeout(900)
def test_airflow_answers_to_no_token_that_is_not_its_own(door: Door) -> None:
    assert len(door.forged) == 5
    for what, token in door.forged.items():
        for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"_token={token}"}):
            answered = {route: status for route, status in door.ask(**headers).items() if status not in REFUSED}
            assert answered == {}, what


def test_a_user_who_may_only_look_changes_nothing_and_gets_no_connection(door: Door) -> None:
    """The product has one user, the admin; others whom an operator adds are held to their role."""
    answered = door.ask(Authorization=f"Bearer {door.tokens['viewer']}")
    # what may be done: to search, to mark a DAG as one's favorite, to renew one's login
    own = ("/list", "/favorite", "/unfavorite", "/ui/auth/token")
    changing = {
        (method, path): status
        for (method, path), status in answered.items()
        if method not in ("GET", "HEAD") and not path.endswith(own)
    }
    closed = {
        (method, path): status
        for (method, path), status in answered.items()
        if path.startswith(("/execution", "/api/v2/connections", "/api/v2/variables"))
    }
    assert {route: status for route, status in {**changing, **closed}.items() if status < 400} == {}
    assert sum(status in REFUSED for status in changing.values()) > len(changing) * 0.8


def test_everything_listens_on_loopback_only(demo: Demo) -> None:
    listening = set()
    for process in demo.processes():
        with suppress(psutil.NoSuchProcess):  # a task's, that ended meanwhile
            listening |= {
                (process.name(), socket.type.name, socket.laddr.ip.removeprefix("::ffff:"))
                for socket in process.net_connections("inet")
                if socket.status == psutil.CONN_LISTEN or (socket.laddr and socket.type.name == "SOCK_DGRAM")
            }
    assert {name.split()[0] for name, _, _ in listening} >= {"airflow", "java", "postgres", "python"}
    assert {address for _, _, address in listening} == {"127.0.0.1"}


def test_files_that_hold_passwords_are_closed_to_others(demo: Demo) -> None:
    secrets = secrets_of(demo)
    holding = [place for place in secrets.files if place.stat().st_mode & 0o077]
    assert len(secrets.files) == 5
    assert holding == []


def test_psql_is_opened_without_the_password_in_the_list_of_processes(demo: Demo) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "local.env", "--psql", "--", "-c", r"\! tr '\0' ' ' < /proc/$PPID/cmdline"],
        env=demo.environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "psql postgresql://crypto_pipeline_people@127.0.0.1" in shown
    assert leaks([Place("psql", shown)], secrets_of(demo).values) == []


@pytest.fixture(scope="module")
def troubled_demo(demo: Demo) -> Demo:
    """After runs that went well, and some that failed: the database refused the passwords of job and monitor."""
    dsn = demo.addresses()["POSTGRES_SUPERUSER_DSN"]
    committed = "select max(batch_no) from batches"
    wait_until(lambda: demo.query(committed)[0][0], 120, "the job's first batch")
    assert demo.run_dag("crypto_pipeline_monitor_dag") == "success"
    logins = [WRITER, MONITOR]
    kept = demo.query("select rolname, rolpassword from pg_authid where rolname = any(%s)", logins, dsn=dsn)
    for login in logins:
        demo.query(f"alter role {login} password 'another'; select 1", dsn=dsn)
    try:
        end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = any(%s)"
        demo.query(end, logins, dsn=dsn)
        assert demo.run_dag("crypto_pipeline_monitor_dag") == "failed"
        mailed = ("run_stream", "crypto_pipeline_monitor_dag")
        wait_until(
            lambda: all(any(part in mail["subject"] for mail in demo.mails()) for part in mailed),
            120,
            "mails of both failures",
        )
        assert any("password authentication failed" in mail["text"] for mail in demo.mails())
    finally:
        for login, password in kept:
            demo.query(f"alter role {login} password %s; select 1", password, dsn=dsn)
    [[newest]] = demo.query(committed)
    wait_until(lambda: demo.query(committed)[0][0] > newest, 180, "a batch of the job that came after")
    assert demo.run_dag("crypto_pipeline_monitor_dag") == "success"
    return demo


@pytest.mark.timeout(900)
def test_no_secret_is_in_a_log_a_file_a_page_a_mail_or_the_list_of_processes(troubled_demo: Demo) -> None:
    looked_at: dict[str, int] = {}
    found: list[str] = []
    secrets = secrets_of(troubled_demo)
    for place in places(troubled_demo, secrets.files):
        looked_at[place.kind] = looked_at.get(place.kind, 0) + 1
        found += leaks([place], secrets.values)
    assert found == []
    assert looked_at.keys() == {"file", "process", "table", "spark page", "airflow page", "mail", "page"}
    assert looked_at["spark page"] > 10
    assert looked_at["airflow page"] > 100
