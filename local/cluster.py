"""A Spark cluster on this machine: one master, one worker, as pyspark brings them.

https://spark.apache.org/docs/4.0.0/spark-standalone.html
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from local.java import Java, crash_options
from spark_processor.settings import JAVA_OPTIONS

HOST = "127.0.0.1"

# Of the application: Java only brings tasks to their Python and back; below 450 MB Spark does not start.
JOB_PROPERTIES = {
    "spark.driver.memory": "512m",
    "spark.driver.cores": "1",
    "spark.executor.memory": "512m",
    "spark.cores.max": "2",
    "spark.driver.extraJavaOptions": JAVA_OPTIONS,
    "spark.executor.extraJavaOptions": JAVA_OPTIONS,
}

_MASTER_HEAP = "512m"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One master and one worker.

    folder: of settings, of what must outlive the master, and of the worker's logs.
    worker_cores, worker_memory: what the worker may give to applications, memory in Spark's notation, `2g`.
    key: the secret of who may submit over REST, 32 bytes or more in base64url.
    """

    folder: Path
    master_port: int
    master_ui_port: int
    rest_port: int
    worker_ui_port: int
    worker_cores: int
    worker_memory: str
    key: str = field(repr=False)

    @property
    def master_url(self) -> str:
        return f"spark://{HOST}:{self.master_port}"

    @property
    def master_ui_url(self) -> str:
        return f"http://{HOST}:{self.master_ui_port}"

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.rest_port}"


def prepare(cluster: Cluster, java: Java) -> dict[str, str]:
    """Writes the cluster's settings; returns the environment of master, worker and applications.

    To be called when nothing of the cluster runs: what the master kept of workers and applications is dropped,
    since it would wait a minute for them to come back.
    """
    folder = cluster.folder.resolve()
    for name in ("recovery", "scratch"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("conf", "recovery", "scratch", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "spark-defaults.conf").write_text(_PROPERTIES)
    master = _of_master(cluster)
    master.unlink(missing_ok=True)
    master.touch(mode=0o600)
    master.write_text(master_properties(HOST, cluster.rest_port, folder / "recovery", cluster.key))
    (folder / "conf" / "log4j2.properties").write_text(_LOGGING)
    return {
        "JAVA_HOME": str(java.home),
        "SPARK_HOME": str(spark_home()),
        "SPARK_CONF_DIR": str(folder / "conf"),
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "SPARK_LOCAL_IP": HOST,  # everything of Spark listens there and nowhere else
        "SPARK_DAEMON_MEMORY": _MASTER_HEAP,
        "SPARK_DAEMON_JAVA_OPTS": " ".join(f'"{option}"' for option in crash_options(folder)),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def master_command(cluster: Cluster) -> list[str]:
    """Runs the master in the foreground; SIGTERM ends it."""
    return [
        *(str(spark_home() / "bin" / "spark-class"), "org.apache.spark.deploy.master.Master"),
        *("--host", HOST, "--port", str(cluster.master_port), "--webui-port", str(cluster.master_ui_port)),
        *("--properties-file", str(_of_master(cluster))),
    ]


def master_properties(host: str, rest_port: int, recovery: Path, key: str) -> str:
    """The content of the master's own file of settings, for its own user alone: the key is in it.

    host, rest_port: where it takes submissions. recovery: the folder that must outlive it. key: of who may submit
    there, 32 bytes or more in base64url; without one, every page open in a browser of this machine could have a
    program run, since the server takes text/plain. The port for applications (7077) asks nobody, and no browser
    speaks its protocol.
    """
    return f"""\
spark.master.rest.enabled true
spark.master.rest.host {host}
spark.master.rest.port {rest_port}
spark.master.rest.filters org.apache.spark.ui.JWSFilter
spark.org.apache.spark.ui.JWSFilter.param.secretKey {key}
# a master that was killed knows its worker, its drivers and its applications again
spark.deploy.recoveryMode FILESYSTEM
spark.deploy.recoveryDirectory {recovery}
# the pages of worker and application are reached through the master's
spark.ui.reverseProxy true
"""


def worker_command(cluster: Cluster) -> list[str]:
    """Runs the worker in the foreground; SIGTERM ends it, and the executors that it started."""
    return [
        *(str(spark_home() / "bin" / "spark-class"), "org.apache.spark.deploy.worker.Worker"),
        *("--host", HOST, "--webui-port", str(cluster.worker_ui_port)),
        *("--cores", str(cluster.worker_cores), "--memory", cluster.worker_memory),
        *("--work-dir", str(cluster.folder.resolve() / "work"), cluster.master_url),
    ]


def master_is_ready(cluster: Cluster) -> bool:
    """Whether the master takes workers and applications."""
    return bool(_status(cluster).get("status") == "ALIVE")


def worker_is_ready(cluster: Cluster) -> bool:
    """Whether the worker has registered with the master."""
    return bool(_status(cluster).get("aliveworkers"))


def runs_application(cluster: Cluster, name: str) -> bool:
    """Whether an application of this name has its executors."""
    applications = _status(cluster).get("activeapps", [])
    return any((found["name"], found["state"]) == (name, "RUNNING") for found in applications)


def spark_home() -> Path:
    """The folder of the installed pyspark. Raises ModuleNotFoundError."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pyspark is not installed")
    return Path(spec.origin).parent


def _status(cluster: Cluster) -> Mapping[str, Any]:
    try:
        answer = httpx.get(f"{cluster.master_ui_url}/json/", timeout=5)
        return dict(answer.raise_for_status().json())
    except (httpx.HTTPError, ValueError):
        return {}


def _of_master(cluster: Cluster) -> Path:
    return cluster.folder.resolve() / "conf" / "master.conf"


# Of worker, driver and executor.
_PROPERTIES = """\
# their pages are reached through the master's
spark.ui.reverseProxy true
spark.worker.cleanup.enabled true
spark.worker.cleanup.appDataTtl 86400
"""

_LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSX}{UTC} %-5p %c{1} %m%n
logger.deploy.name = org.apache.spark.deploy
logger.deploy.level = info
# the driver's own launcher counts up a taken port, which is no warning
logger.utils.name = org.apache.spark.util.Utils
logger.utils.level = error
"""
