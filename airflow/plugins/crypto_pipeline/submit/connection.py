"""The Airflow connection of a standalone Spark cluster: where its master is, and what lies on its workers.

Host and port are the master's, for applications (`spark://HOST:PORT`), the password is the key to its submission
server (`spark.org.apache.spark.ui.JWSFilter.param.secretKey`). The extra holds, besides:

- `rest_port` (6066), `ui_url` (`http://HOST:8080`) and `public_ui_url`, the same as a browser sees it;
- `spark_home`, `spark_version`, `python` and `application`: paths on the workers, and Spark's version;
- `conf`: an object of Spark properties, memory and cores among them.

What the application itself needs to know (its database, its broker) is in the environment of the workers, so that
no password passes through the master, which shows what it knows to anyone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from airflow.sdk import BaseHook, Connection

from crypto_pipeline.submit.master import Application, SparkMaster, is_key

# Who owns the drivers on which cluster: what the submit DAG, the listener and the reaper must agree on.
SUBMIT_DAG_ID = "crypto_pipeline_submit_dag"
SUBMIT_TASK_ID = "run_stream"
SUBMIT_CONN_ID = "crypto_pipeline_spark"


class BadSparkConnection(ValueError):
    """A Spark connection lacks something; the message names the connection and the key."""


@dataclass(frozen=True, slots=True)
class SparkConnection:
    """What a connection of this kind says."""

    master: SparkMaster
    spark_home: str
    spark_version: str
    python: str
    application: str
    conf: dict[str, str]

    def run(self, name: str, arguments: Sequence[str]) -> Application:
        """The connection's application under that name, with these arguments."""
        conf = {**self.conf, "spark.pyspark.python": self.python}
        return Application(self.application, name, arguments, self.spark_home, self.spark_version, conf)


def spark_connection(conn_id: str) -> SparkConnection:
    """The connection of that id. Raises BadSparkConnection, and AirflowNotFoundException where there is none."""
    return read_connection(BaseHook.get_connection(conn_id))


def read_connection(connection: Connection) -> SparkConnection:
    """What a connection says. Raises BadSparkConnection."""
    extra = connection.extra_dejson
    needed = ("spark_home", "spark_version", "python", "application")
    missing = [key for key in needed if not extra.get(key)]
    lacking = [name for name in ("host", "password") if not getattr(connection, name)]
    if missing or lacking:
        lacks = ", ".join([*lacking, *(f"extra.{key}" for key in missing)])
        raise BadSparkConnection(
            f"the connection {connection.conn_id} lacks {lacks}: see crypto_pipeline/submit/connection.py"
        )
    if not is_key(str(connection.password)):
        raise BadSparkConnection(
            f"the password of the connection {connection.conn_id} is no key: 32 bytes or more in base64url"
        )
    host = str(connection.host).removeprefix("spark://")
    ui_url = str(extra.get("ui_url") or f"http://{host}:8080").rstrip("/")
    master = SparkMaster(
        url=f"spark://{host}:{connection.port or 7077}",
        rest_url=f"http://{host}:{extra.get('rest_port') or 6066}",
        ui_url=ui_url,
        public_ui_url=str(extra.get("public_ui_url") or ui_url).rstrip("/"),
        key=str(connection.password),
    )
    conf = {str(key): str(value) for key, value in (extra.get("conf") or {}).items()}
    return SparkConnection(
        master,
        spark_home=str(extra["spark_home"]),
        spark_version=str(extra["spark_version"]),
        python=str(extra["python"]),
        application=str(extra["application"]),
        conf=conf,
    )
