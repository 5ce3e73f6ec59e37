"""The standalone Spark master as its clients see it: drivers are submitted, asked for, killed, and read.

Two of its servers are spoken to: the submission server (REST, port 6066) and the web page (port 8080), whose
`/json/` lists drivers, applications and workers. The first takes only requests that are signed with a key that the
master knows too (Spark's JWSFilter); the second asks nobody who is calling, and changes nothing that lasts.
https://spark.apache.org/docs/4.0.1/spark-standalone.html
"""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

# The main class of every driver submitted here. In cluster mode the master refuses Python applications, so the
# driver is spark-submit itself, which then runs the application in client mode on the worker it landed on.
WRAPPER_CLASS = "org.apache.spark.deploy.SparkSubmit"

ALIVE = frozenset({"SUBMITTED", "RUNNING", "RELAUNCHING", "UNKNOWN"})
KILLED = "KILLED"
NOT_FOUND = "NOT_FOUND"  # the master answers, and knows no such driver
MASTER_AWAY = "MASTER_AWAY"  # no master answers, or one that is still recovering
REFUSED = "REFUSED"  # the master has another key

TIMEOUT_S = 10.0
LOG_TAIL_BYTES = 32_768


class MasterAway(RuntimeError):
    """No master in charge answers at its address; nothing is known of its drivers."""


class SubmissionRefused(RuntimeError):
    """The master answered, and took no driver, or nothing at all of us; the message holds its reason."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver that has not ended. started_at_s: by the master's clock, in seconds since 1970."""

    driver_id: str
    started_at_s: float


@dataclass(frozen=True, slots=True)
class Application:
    """What to run in cluster mode.

    path: of the Python file, on the workers. name: as Spark's pages show it.
    home: of Spark on the workers. version: of Spark, which names its jars.
    conf: Spark's properties, of the driver's JVM too.
    """

    path: str
    name: str
    arguments: Sequence[str]
    home: str
    version: str
    conf: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SparkMaster:
    """Where a standalone master listens.

    url: `spark://HOST:PORT`, for applications.
    rest_url: of the submission server. ui_url: of its page, as seen from here; public_ui_url: from a browser.
    key: the secret of the submission server, 32 bytes or more in base64url.
    """

    url: str
    rest_url: str
    ui_url: str
    public_ui_url: str
    key: str = field(repr=False)

    def submit(self, application: Application) -> str:
        """Starts a driver, now or once a worker has room; returns its id. Raises MasterAway, SubmissionRefused."""
        answer = self._call("POST", "create", submission(self, application))
        if not answer.get("success"):
            if read_state(answer) == MASTER_AWAY and "recover" in str(answer.get("message")).lower():
                raise MasterAway(f"{self.rest_url}: {answer['message']}")
            raise SubmissionRefused(
                f"the Spark master {self.rest_url} took no driver: {answer.get('message', answer)}"
            )
        return str(answer["submissionId"])

    def state(self, driver_id: str) -> str:
        """A driver's state, by Spark's names, or NOT_FOUND, MASTER_AWAY or REFUSED."""
        try:
            return read_state(self._call("GET", f"status/{driver_id}"))
        except MasterAway:
            return MASTER_AWAY
        except SubmissionRefused:
            return REFUSED

    def kill(self, driver_id: str) -> str:
        """Asks for a driver's end, and returns what the master said to it.

        Raises MasterAway, SubmissionRefused.
        """
        return str(self._call("POST", f"kill/{driver_id}").get("message"))

    def drivers(self) -> list[Driver]:
        """The drivers of WRAPPER_CLASS that have not ended. Raises MasterAway."""
        return [
            Driver(shown["id"], float(shown["starttime"]) / 1000)
            for shown in self._page()["activedrivers"]
            if shown["mainclass"] == WRAPPER_CLASS
        ]

    def application_page(self, name: str, since_s: float) -> str | None:
        """The address, for a browser, of the newest application of that name started since; None if there is none.

        It needs `spark.ui.reverseProxy` on the master and its workers. Raises MasterAway.
        """
        applications = [
            shown
            for shown in self._page()["activeapps"]
            if shown["name"] == name and float(shown["starttime"]) / 1000 >= since_s
        ]
        if not applications:
            return None
        newest = max(applications, key=lambda shown: float(shown["starttime"]))
        return f"{self.public_ui_url}/proxy/{newest['id']}/jobs/"

    def log_tail(self, driver_id: str, lines: int = 40) -> str:
        """What a driver said last, dead or alive, or in parentheses why that can't be read. Never raises.

        A worker's page serves it, also that of a worker started anew on the same folder. Python's own output is in
        the driver's stdout, with tracebacks; Spark's log is in stderr.
        """
        try:
            worker_id = self._call("GET", f"status/{driver_id}").get("workerId")
            workers = sorted(self._page()["workers"], key=lambda w: (w["id"] != worker_id, w["state"] != "ALIVE"))
        except (MasterAway, SubmissionRefused) as error:
            return f"(the log of {driver_id} can't be read: {error})"
        for address in dict.fromkeys(str(worker["webuiaddress"]) for worker in workers):
            stdout = _read_log(address, driver_id, "stdout")
            stderr = _read_log(address, driver_id, "stderr")
            if stdout or stderr:
                return shorten(stdout, stderr, lines)
        return f"(no worker has the log of {driver_id})"

    def _page(self) -> dict[str, Any]:
        try:
            page: dict[str, Any] = httpx.get(f"{self.ui_url}/json/", timeout=TIMEOUT_S).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise MasterAway(f"the Spark master's page {self.ui_url} does not answer: {error!r}") from error
        if page["status"] != "ALIVE":
            raise MasterAway(f"the Spark master {self.ui_url} is {page['status']}")
        return page

    def _call(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        # a refusal comes with status 400 or 500 and a body that says why
        address = f"{self.rest_url}/v1/submissions/{what}"
        headers = {"Authorization": authorization(self.key)}
        try:
            response = httpx.request(method, address, json=body, headers=headers, timeout=TIMEOUT_S)
            return read_answer(self.rest_url, response)
        except (httpx.HTTPError, ValueError) as error:
            raise MasterAway(f"the Spark master {self.rest_url} does not answer: {error!r}") from error


def read_answer(rest_url: str, response: httpx.Response) -> dict[str, Any]:
    """What the submission server says. Raises SubmissionRefused, and ValueError where something else answered."""
    if response.status_code == httpx.codes.FORBIDDEN:
        raise SubmissionRefused(other_key(rest_url))
    answer: dict[str, Any] = response.json()
    return answer


def other_key(rest_url: str) -> str:
    """What to do about a master that takes no request of ours."""
    return (
        f"the Spark master {rest_url} has another key than Airflow's connection to it: the connection's password "
        "must be the master's secretKey"
    )


def is_key(text: str) -> bool:
    """Whether this can be a key: 32 bytes or more in base64url, with or without its padding."""
    return re.fullmatch(r"[A-Za-z0-9_-]{43,}={0,2}", text) is not None


def authorization(key: str) -> str:
    """The header Authorization that org.apache.spark.ui.JWSFilter wants: a token signed with this key."""
    return "Bearer " + jwt.encode({"sub": "airflow"}, base64.urlsafe_b64decode(key + "=="), algorithm="HS256")


def read_state(answer: Mapping[str, Any]) -> str:
    """The state that the submission server's answer about a driver means.

    A master that has just started refuses with a message until it has recovered; of a driver that it does not know
    it says `success: false` and nothing else.
    """
    if answer.get("success"):
        return str(answer.get("driverState") or "UNKNOWN")
    return MASTER_AWAY if answer.get("message") else NOT_FOUND


def submission(master: SparkMaster, application: Application) -> dict[str, object]:
    """The body of the create call: CreateSubmissionRequest of Spark's REST protocol."""
    arguments = ["--master", master.url, "--deploy-mode", "client", "--name", application.name]
    for key, value in application.conf.items():
        arguments += ["--conf", f"{key}={value}"]
    return {
        "action": "CreateSubmissionRequest",
        "clientSparkVersion": application.version,
        # The protocol wants a jar, and every driver gets a copy of it: a small one. The class is in Spark itself.
        "appResource": f"file:{application.home}/jars/spark-launcher_2.13-{application.version}.jar",
        "mainClass": WRAPPER_CLASS,
        "appArgs": [*arguments, application.path, *application.arguments],
        # the worker runs what it is started with; its own environment is what configures the job
        "environmentVariables": {"SPARK_ENV_LOADED": "1"},
        "sparkProperties": {
            **application.conf,
            "spark.app.name": application.name,
            "spark.master": master.url,
            "spark.submit.deployMode": "cluster",
            "spark.driver.supervise": "false",  # Airflow is the one that starts it again
        },
    }


def shorten(stdout: Sequence[str], stderr: Sequence[str], lines: int) -> str:
    """The last traceback if there is one; else the end of both, warnings and errors before the rest."""
    tracebacks = [at for at, line in enumerate(stdout) if line.startswith("Traceback (most recent")]
    if tracebacks:
        return "\n".join(stdout[tracebacks[-1] :][-lines:])
    grave = [line for line in stderr if " WARN " in line or " ERROR " in line]
    return "\n".join([*stdout[-lines // 4 :], *grave[-lines // 4 :], "...", *stderr[-lines // 2 :]])


def kill_all(master: SparkMaster, started_before_s: float, within_s: float = 120) -> list[str]:
    """Kills every driver started before, waiting for a master that is away; returns the ids.

    Raises MasterAway when it has not come back in time, and SubmissionRefused.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            old = [driver.driver_id for driver in master.drivers() if driver.started_at_s < started_before_s]
            for driver_id in old:
                master.kill(driver_id)
            return old
        except MasterAway:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _read_log(worker_address: str, driver_id: str, kind: str) -> list[str]:
    query = urlencode({"driverId": driver_id, "logType": kind, "byteLength": LOG_TAIL_BYTES})
    with suppress(httpx.HTTPError):
        text = httpx.get(f"{worker_address}/log/?{query}", timeout=TIMEOUT_S).raise_for_status().text
        if text.startswith("==== Bytes"):
            return text.split("\n", 1)[-1].splitlines()
    return []
