"""Flink SQL (flink_sql.sql) through its SQL gateway, with the cluster in the same process, over the backlog.

Progress comes from Flink's REST interface: what the Kafka source has read.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.contenders.progress import tell
from benchmarks.servers import flink_jars_dir
from local.ports import free_port
from producer.broker import bounds, connect_reader
from spark_processor.settings import JobSettings

_LOOK_EVERY_S = 0.5
_TASKS = 2

# what conf/config.yaml of Flink's distribution asks of Java 17, as far as SQL needs it
_OPENED = ("java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text")
_OPENED += ("java.time", "java.util", "java.util.concurrent", "java.util.concurrent.atomic")
_OPENED += ("java.util.concurrent.locks",)

_LOGGING = """\
<Configuration status="error">
  <Appenders>
    <Console name="stderr" target="SYSTEM_ERR"><PatternLayout pattern="%p %c{1} %m%n"/></Console>
  </Appenders>
  <Loggers><Root level="error"><AppenderRef ref="stderr"/></Root></Loggers>
</Configuration>
"""


def main() -> None:
    settings = JobSettings()
    cluster_port, gateway_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "config.yaml").write_text(_configuration(folder, cluster_port, gateway_port))
        (folder / "log4j2.xml").write_text(_LOGGING)
        environ = {**os.environ, "FLINK_CONF_DIR": str(folder)}
        process = subprocess.Popen(_command(folder), env=environ, stdout=sys.stderr)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{gateway_port}/v1", timeout=60) as gateway:
                _run(gateway, _statements(settings), cluster_port, _messages(settings))
        finally:
            process.terminate()
            process.wait(60)


def _run(gateway: httpx.Client, statements: list[str], cluster_port: int, messages: int) -> None:
    """Executes the statements, and tells progress until the last one, the job, has ended with all messages."""
    session = f"/sessions/{_open_session(gateway)}"
    read = 0
    for statement in statements:
        submitted = _answer(gateway.post(f"{session}/statements", json={"statement": statement}))
        operation = f"{session}/operations/{submitted['operationHandle']}"
        while _answer(gateway.get(f"{operation}/status"))["status"] in ("PENDING", "INITIALIZED", "RUNNING"):
            time.sleep(_LOOK_EVERY_S)
            now_s, now_read = time.time(), _records_read(cluster_port)
            if now_read > read:
                tell(now_s, now_read - read)
                read = now_read
        _answer(gateway.get(f"{operation}/result/0"))  # raises what the statement raised
    tell(time.time(), messages - read)  # the cluster is gone, and cannot be asked any more


def _messages(settings: JobSettings) -> int:
    """How many there are."""
    with closing(connect_reader(settings.kafka_bootstrap_servers)) as reader:
        return sum(end - first for first, end in bounds(reader, settings.kafka_topic).values())


def _open_session(gateway: httpx.Client) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            return str(_answer(gateway.post("/sessions", json={}))["sessionHandle"])
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_EVERY_S)


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise SystemExit(f"Flink's gateway: {response.text}")
    return dict(response.json())


def _command(folder: Path) -> list[str]:
    java = Path(os.environ["JAVA_HOME"]) / "bin" / "java"
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    return [
        *(str(java), "-Xmx1g", "-XX:+UseParallelGC", "-Duser.timezone=UTC", *opened),
        *(f"-Dlog4j.configurationFile={folder / 'log4j2.xml'}", "-cp", f"{flink_jars_dir()}/*"),
        "org.apache.flink.table.gateway.SqlGateway",
    ]


def _configuration(folder: Path, port: int, gateway_port: int) -> str:
    return f"""\
execution.target: local
parallelism.default: {_TASKS}
taskmanager.numberOfTaskSlots: {_TASKS}
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.bind-port: {port}
rest.port: {port}
metrics.fetcher.update-interval: 250
pipeline.object-reuse: true
execution.checkpointing.interval: 10 s
execution.checkpointing.dir: file://{folder}/checkpoints
table.dml-sync: true
sql-gateway.endpoint.rest.address: 127.0.0.1
sql-gateway.endpoint.rest.bind-address: 127.0.0.1
sql-gateway.endpoint.rest.port: {gateway_port}
sql-gateway.endpoint.rest.bind-port: {gateway_port}
table.local-time-zone: UTC
io.tmp.dirs: {folder}
web.upload.dir: {folder}
"""


def _statements(settings: JobSettings) -> list[str]:
    dsn = urlsplit(settings.postgres_dsn)
    text = Template((Path(__file__).with_suffix(".sql")).read_text()).substitute(
        servers=settings.kafka_bootstrap_servers,
        topic=settings.kafka_topic,
        url=f"jdbc:postgresql://{dsn.hostname}:{dsn.port}{dsn.path}",
        user=dsn.username,
        password=dsn.password,
    )
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def _records_read(port: int) -> int:
    """How many messages the source has read; 0 while Flink does not answer."""
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            for job in client.get("/jobs").json()["jobs"]:
                for vertex in client.get(f"/jobs/{job['id']}").json()["vertices"]:
                    if vertex["name"].startswith("Source"):
                        return _sum(client, f"/jobs/{job['id']}/vertices/{vertex['id']}/subtasks/metrics")
    except (httpx.HTTPError, KeyError, ValueError):
        return 0
    return 0


def _sum(client: httpx.Client, path: str) -> int:
    names = [one["id"] for one in client.get(path).json()]
    wanted = [name for name in names if name.startswith("Source__") and name.endswith(".numRecordsIn")]
    if not wanted:
        return 0
    found: list[dict[str, Any]] = client.get(path, params={"get": wanted[0], "agg": "sum"}).json()
    return int(found[0]["sum"])


if __name__ == "__main__":
    main()
