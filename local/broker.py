"""A Kafka broker on this machine: the real one, in KRaft mode, broker and controller in one process.

https://kafka.apache.org/documentation/#brokerconfigs
"""

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient  # type: ignore[import-untyped]  # it carries no types
from kafka.admin import NewTopic  # type: ignore[import-untyped]
from kafka.errors import KafkaError, TopicAlreadyExistsError  # type: ignore[import-untyped]

from local.java import Java, crash_options

HOST = "127.0.0.1"
RETENTION_HOURS = 72
PARTITIONS = 6  # of raw_trades: how many tasks of the job can read at once


class BrokerBroken(RuntimeError):
    """The broker's storage could not be made ready; the message holds what Kafka said."""


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker.

    folder: its settings and its log.
    port: of clients; controller_port: of the controller inside it.
    heap_mb: the most that its Java heap takes.
    max_partition_mb: bound of a partition's log; above it the oldest records go, whatever their age.
    advertised_port: where clients reach it, if not at its own port.
    """

    folder: Path
    port: int
    controller_port: int
    heap_mb: int = 512
    max_partition_mb: int = 1024
    advertised_port: int | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.advertised_port or self.port}"


def prepare(broker: Broker, java: Java, jars_dir: Path) -> list[str]:
    """Writes the broker's settings, formats its storage once; returns the command that runs it.

    It runs in the foreground and logs to its standard output; SIGTERM ends it cleanly. Raises BrokerBroken.
    """
    folder = broker.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(_properties(broker, folder / "log"))
    logging = folder / "log4j2.xml"
    logging.write_text(_LOGGING)
    run = [
        str(java.executable),
        *crash_options(folder),
        f"-Dlog4j2.configurationFile={logging}",
        "-Djava.awt.headless=true",
        "-cp",
        f"{jars_dir}/*",
    ]
    if not (folder / "log" / "meta.properties").is_file():
        _format_storage(run, properties)
    heap = [f"-Xms{min(broker.heap_mb, 256)}m", f"-Xmx{broker.heap_mb}m", "-XX:+UseG1GC"]
    return [run[0], *heap, *run[1:], "kafka.Kafka", str(properties)]


def is_ready(bootstrap_servers: str) -> bool:
    """Whether the broker answers as a cluster with a controller."""
    host, _, port = bootstrap_servers.rpartition(":")
    try:  # at once, where the client would try for many seconds
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    try:
        admin = _admin(bootstrap_servers)
    except KafkaError:
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()


def create_topic(bootstrap_servers: str, topic: str, partitions: int = PARTITIONS) -> None:
    """Creates the topic where it is not there yet. Raises kafka.errors.KafkaError."""
    admin = _admin(bootstrap_servers)
    try:
        admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)])
    except TopicAlreadyExistsError:
        return
    finally:
        admin.close()


def _admin(bootstrap_servers: str) -> KafkaAdminClient:
    return KafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)


def _format_storage(run: list[str], properties: Path) -> None:
    """KRaft starts only on storage that carries a cluster's id."""
    tool = [*run, "kafka.tools.StorageTool"]
    try:
        cluster_id = subprocess.run(
            [*tool, "random-uuid"], capture_output=True, text=True, timeout=60, check=True
        ).stdout.split()[-1]
        subprocess.run(
            [*tool, "format", "--cluster-id", cluster_id, "--config", str(properties)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise BrokerBroken(f"Kafka could not format its storage ({properties}): {error.output}") from error


def _properties(broker: Broker, log_dir: Path) -> str:
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{broker.controller_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://{HOST}:{broker.port},CONTROLLER://{HOST}:{broker.controller_port}
advertised.listeners=PLAINTEXT://{broker.bootstrap_servers}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dir}
# a topic of a mistyped name should be an error, and raw_trades needs its partitions
auto.create.topics.enable=false
num.partitions={PARTITIONS}
log.retention.hours={RETENTION_HOURS}
log.retention.bytes={broker.max_partition_mb * 2**20}
log.segment.bytes={min(broker.max_partition_mb, 256) * 2**20}
# one broker holds every copy there is
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# its default takes a quarter of the heap, for compacted topics of which there is hardly any here
log.cleaner.dedupe.buffer.size={16 * 2**20}
"""


_LOGGING = """\
<Configuration status="warn">
  <Appenders>
    <Console name="stdout"><PatternLayout pattern="%d{yyyy-MM-dd'T'HH:mm:ss.SSSX}{UTC} %-5p %c{1} %m%n"/></Console>
  </Appenders>
  <Loggers><Root level="info"><AppenderRef ref="stdout"/></Root></Loggers>
</Configuration>
"""
