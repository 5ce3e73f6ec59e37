"""The job between a broker and a database, for the tests of a module."""

from collections.abc import Callable, Iterator

import psutil
import psycopg2
import pytest
from kafka import KafkaProducer
from model.proxy import proxy
from model.world import Job, World
from psycopg2.extensions import parse_dsn

from local import provision
from local.java import Java


@pytest.fixture(scope="module")
def world(
    kafka_bootstrap_servers: str,
    new_topic: Callable[[], str],
    postgres_dsn: str,
    java: Java,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    topic, folder = new_topic(), tmp_path_factory.mktemp("job")
    writer = provision.create_login(postgres_dsn, "job_of_the_tests", "secret", "crypto_writer")
    with proxy(int(parse_dsn(postgres_dsn)["port"])) as network:
        environ = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
            "KAFKA_TOPIC": topic,
            "POSTGRES_DSN": provision.changed(writer, port=str(network.port)),
            "JAVA_HOME": str(java.home),
            "SPARK_MASTER_URL": "local[2]",
            "TRIGGER_INTERVAL": "0 seconds",
            "LOCK_IDLE_S": "3",
            "LOG_EVERY_S": "1",
        }
        connection = psycopg2.connect(postgres_dsn)
        connection.autocommit = True
        # what a test sends at once comes at once: contradictions are counted within a batch
        producer = KafkaProducer(bootstrap_servers=kafka_bootstrap_servers, linger_ms=1000)
        one = World(kafka_bootstrap_servers, topic, postgres_dsn, network, environ, folder, producer, connection)
        yield one
        producer.close()
        for job in one.jobs:
            if job.process.poll() is None:
                job.everything(psutil.Process.kill)
                job.process.wait()
        connection.close()


@pytest.fixture
def job(world: World) -> Job:
    """A job that runs: the one of the test before, or a new one."""
    for one in world.jobs:
        if one.process.poll() is None:
            return one
    return world.start()
