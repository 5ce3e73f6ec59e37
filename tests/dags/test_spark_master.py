"""The client of the master against a server that answers as Spark 4.0 was seen to."""

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from airflow.sdk import Connection

from crypto_pipeline.submit.connection import BadSparkConnection, read_connection
from crypto_pipeline.submit.master import (
    MASTER_AWAY,
    NOT_FOUND,
    REFUSED,
    WRAPPER_CLASS,
    Application,
    Driver,
    MasterAway,
    SparkMaster,
    SubmissionRefused,
    kill_all,
    read_state,
    shorten,
    submission,
)
from crypto_pipeline.submit.reaper import reap
from crypto_pipeline.submit.trigger import SparkDriverTrigger

RECOVERING = {
    "success": False,
    "message": "Current state is not alive: RECOVERING. Can only request status in ALIVE.",
}
CONF = {"spark.driver.memory": "1g", "spark.pyspark.python": "/venv/bin/python"}
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
APPLICATION = Application("/job.py", "CryptoAnalytics", ["--batch-size", "5"], "/spark", "4.0.5", CONF)


@dataclass
class FakeMaster:
    """Answers by path; remembers what was asked."""

    key: str = KEY
    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    body: Any = None

    @property
    def client(self) -> SparkMaster:
        return SparkMaster("spark://master:7077", self.url, self.url, "http://public", self.key)


@pytest.fixture
def fake() -> Iterator[FakeMaster]:
    one = FakeMaster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            one.asked.append(f"{self.command} {self.path.split('?')[0]}")
            length = int(self.headers.get("Content-Length") or 0)
            if length:
                one.body = json.loads(self.rfile.read(length))
            if "/submissions/" in self.path and not signed(self.headers["Authorization"]):
                self.send_error(403)  # with a page, as Spark does
                return
            answer = one.answers.get(self.path.split("?")[0])
            text = answer if isinstance(answer, str) else json.dumps(answer)
            refused = isinstance(answer, dict) and answer.get("success") is False
            self.send_response(404 if answer is None else 400 if refused else 200)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815 - what the base class calls it

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


def signed(authorization: str) -> bool:
    kind, token = authorization.split()
    try:
        jwt.decode(token, bytes(range(32)), algorithms=["HS256"])
    except jwt.InvalidTokenError:
        return False
    return kind == "Bearer"


def page(status: str = "ALIVE", drivers: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {"status": status, "activedrivers": drivers or [], "activeapps": [], "workers": [], **more}


def driver(driver_id: str, started_at_s: int, main_class: str = WRAPPER_CLASS) -> dict[str, Any]:
    return {"id": driver_id, "starttime": str(started_at_s * 1000), "mainclass": main_class, "state": "RUNNING"}


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"success": True, "driverState": "RUNNING"}, "RUNNING"),
        ({"success": True, "driverState": "KILLED"}, "KILLED"),
        ({"success": True}, "UNKNOWN"),
        ({"success": False}, NOT_FOUND),
        (RECOVERING, MASTER_AWAY),
    ],
)
def test_a_recovering_master_is_away_and_one_that_knows_no_such_driver_is_not(
    answer: dict[str, Any], state: str
) -> None:
    assert read_state(answer) == state


def test_the_driver_is_spark_submit_that_runs_the_application_on_its_worker() -> None:
    master = SparkMaster("spark://master:7077", "", "", "", KEY)
    assert submission(master, APPLICATION) == {
        "action": "CreateSubmissionRequest",
        "clientSparkVersion": "4.0.5",
        "appResource": "file:/spark/jars/spark-launcher_2.13-4.0.5.jar",
        "mainClass": "org.apache.spark.deploy.SparkSubmit",
        "appArgs": [
            *("--master", "spark://master:7077", "--deploy-mode", "client", "--name", "CryptoAnalytics"),
            *("--conf", "spark.driver.memory=1g", "--conf", "spark.pyspark.python=/venv/bin/python"),
            *("/job.py", "--batch-size", "5"),
        ],
        "environmentVariables": {"SPARK_ENV_LOADED": "1"},
        "sparkProperties": {
            "spark.driver.memory": "1g",
            "spark.pyspark.python": "/venv/bin/python",
            "spark.app.name": "CryptoAnalytics",
            "spark.master": "spark://master:7077",
            "spark.submit.deployMode": "cluster",
            "spark.driver.supervise": "false",
        },
    }


def test_a_submit_returns_the_drivers_id(fake: FakeMaster) -> None:
    fake.answers["/v1/submissions/create"] = {"success": True, "submissionId": "driver-1"}
    assert fake.client.submit(APPLICATION) == "driver-1"
    assert fake.body == submission(fake.client, APPLICATION)


def test_a_refusal_says_why(fake: FakeMaster) -> None:
    fake.answers["/v1/submissions/create"] = {"success": False, "message": "the protocol version is wrong"}
    with pytest.raises(SubmissionRefused, match="the protocol version is wrong"):
        fake.client.submit(APPLICATION)


def test_a_wrong_key_is_named(fake: FakeMaster) -> None:
    fake.key = KEY.swapcase()
    with pytest.raises(SubmissionRefused, match=f"{fake.url} has another key than Airflow's connection"):
        fake.client.submit(APPLICATION)
    assert fake.client.state("driver-1") == REFUSED
    assert KEY.swapcase() not in repr(fake.client)


def test_a_trigger_asks_with_the_key_of_the_connection(fake: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.answers["/v1/submissions/status/driver-1"] = {"success": True, "driverState": "FAILED"}

    def seen(key: str) -> dict[str, Any]:
        extra = {"rest_port": urlsplit(fake.url).port, "spark_home": "/s", "spark_version": "4", "python": "/p"}
        connection = {
            "conn_type": "spark",
            "host": "spark://127.0.0.1",
            "password": key,
            "extra": {**extra, "application": "/job.py"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_A_CLUSTER", json.dumps(connection))

        async def first() -> dict[str, Any]:
            async for event in SparkDriverTrigger("a_cluster", "driver-1", settle_s=0).run():
                return dict(event.payload)
            raise AssertionError("no event")

        return asyncio.run(asyncio.wait_for(first(), 10))

    assert seen(KEY) == {"driver_id": "driver-1", "state": "FAILED"}
    assert seen(KEY.swapcase()) == {"driver_id": "driver-1", "state": REFUSED}


@pytest.mark.parametrize("password", ["", "short", "ä" * 43, f"{KEY}!"])
def test_a_password_that_can_be_no_key_is_refused(password: str) -> None:
    extra = dict.fromkeys(("spark_home", "spark_version", "python", "application"), "x")
    connection = Connection(conn_id="c", conn_type="spark", host="h", password=password, extra=json.dumps(extra))
    with pytest.raises(BadSparkConnection, match="password"):
        read_connection(connection)


def test_a_recovering_master_takes_no_driver_and_is_called_away(fake: FakeMaster) -> None:
    fake.answers["/v1/submissions/create"] = RECOVERING
    with pytest.raises(MasterAway, match="RECOVERING"):
        fake.client.submit(APPLICATION)


def test_only_drivers_of_ours_are_listed(fake: FakeMaster) -> None:
    fake.answers["/json/"] = page(drivers=[driver("driver-1", 100), driver("driver-2", 100, "org.example.Other")])
    assert fake.client.drivers() == [Driver("driver-1", 100.0)]


@pytest.mark.parametrize("status", ["STANDBY", "RECOVERING"])
def test_a_master_that_is_not_in_charge_is_away(fake: FakeMaster, status: str) -> None:
    fake.answers["/json/"] = page(status)
    with pytest.raises(MasterAway, match=status):
        fake.client.drivers()


def test_nobody_at_the_address_is_a_master_that_is_away() -> None:
    client = SparkMaster("spark://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1", "", KEY)
    assert client.state("driver-1") == MASTER_AWAY
    with pytest.raises(MasterAway):
        client.drivers()
    assert client.log_tail("driver-1").startswith("(the log of driver-1 can't be read: the Spark master")


def test_the_reaper_spares_owned_and_young_drivers(fake: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    fake.answers["/json/"] = page(drivers=[driver("owned", 100), driver("young", 941), driver("stray", 939)])
    fake.answers["/v1/submissions/kill/stray"] = {"success": True, "message": "Kill request submitted"}
    assert reap(fake.client, {"owned"}, grace_s=60) == ["stray"]
    assert [asked for asked in fake.asked if "kill" in asked] == ["POST /v1/submissions/kill/stray"]


def test_ending_all_spares_drivers_that_started_later(fake: FakeMaster) -> None:
    fake.answers["/json/"] = page(drivers=[driver("old", 100), driver("new", 102)])
    fake.answers["/v1/submissions/kill/old"] = {"success": True, "message": "Kill request submitted"}
    assert kill_all(fake.client, started_before_s=101) == ["old"]


def test_the_page_of_the_newest_application_of_the_name_is_linked(fake: FakeMaster) -> None:
    def shown(app_id: str, name: str, started_at_s: int) -> dict[str, str]:
        return {"id": app_id, "name": name, "starttime": str(started_at_s * 1000)}

    applications = [shown("a", "Crypto", 90), shown("b", "Crypto", 110), shown("c", "Other", 120)]
    fake.answers["/json/"] = page(activeapps=applications)
    assert fake.client.application_page("Crypto", 100) == "http://public/proxy/b/jobs/"
    assert fake.client.application_page("Crypto", 115) is None


def test_the_log_is_read_from_the_drivers_own_worker(fake: FakeMaster) -> None:
    fake.answers["/v1/submissions/status/driver-1"] = {"success": True, "driverState": "FAILED", "workerId": "w2"}
    workers = [
        {"id": "w1", "state": "ALIVE", "webuiaddress": "http://127.0.0.1:1"},
        {"id": "w2", "state": "DEAD", "webuiaddress": fake.url},
    ]
    fake.answers["/json/"] = page(workers=workers)
    fake.answers["/log/"] = "==== Bytes 0-20 of 20 of /work/stdout ====\nthe last line"
    assert "the last line" in fake.client.log_tail("driver-1")


def test_the_last_traceback_is_what_a_log_said_last() -> None:
    traceback = ["Traceback (most recent call last):", '  File "job.py"', "ValueError: no"]
    out = ["Traceback (most recent call last):", "KeyError: older", "working", *traceback]
    assert shorten(out, ["26/11/21 WARN x"], 40) == "\n".join(traceback)


def test_without_a_traceback_warnings_come_before_the_end_of_the_log() -> None:
    err = ["26/11/21 ERROR Kafka: away", *(f"26/11/21 INFO line {n}" for n in range(100))]
    assert shorten([], err, 4).splitlines() == [err[0], "...", err[-2], err[-1]]


def test_a_connection_is_read_whole() -> None:
    extra = {
        "rest_port": 16066,
        "ui_url": "http://localhost:18080/",
        "spark_home": "/spark",
        "spark_version": "4.0.5",
        "python": "/venv/bin/python",
        "application": "/job.py",
        "conf": {"spark.cores.max": 2},
    }
    connection = Connection(
        conn_id="c",
        conn_type="spark",
        host="spark://localhost",
        port=17077,
        password=KEY,
        extra=json.dumps(extra),
    )
    found = read_connection(connection)
    assert found.master == SparkMaster(
        *("spark://localhost:17077", "http://localhost:16066"),
        *("http://localhost:18080", "http://localhost:18080", KEY),
    )
    conf = {"spark.cores.max": "2", "spark.pyspark.python": "/venv/bin/python"}
    assert found.run("n", ["a"]) == Application("/job.py", "n", ["a"], "/spark", "4.0.5", conf)


def test_a_connection_that_lacks_something_names_it() -> None:
    connection = Connection(
        conn_id="c", conn_type="spark", host="", extra='{"spark_home": "/spark", "python": "p"}'
    )
    with pytest.raises(
        BadSparkConnection, match=r"c lacks host, password, extra.spark_version, extra.application"
    ):
        read_connection(connection)
