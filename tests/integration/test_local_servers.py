"""The database and the broker of this machine: real, reachable only from here, and kept over a restart."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from psycopg2.extensions import parse_dsn

from local import broker, database, provision


def query(dsn: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def test_the_database_is_postgresql_16_in_utf8_and_utc(empty_database_dsn: str) -> None:
    shown = query(empty_database_dsn, "show server_version") + query(empty_database_dsn, "show server_encoding")
    assert [str(value).split(".")[0] for (value,) in shown] == ["16", "UTF8"]
    assert query(empty_database_dsn, "show timezone") == [("UTC",)]


def test_the_database_listens_on_loopback_only_and_asks_for_the_password(postgres_server: database.Server) -> None:
    assert query(postgres_server.dsn(), "show listen_addresses") == [("127.0.0.1",)]
    assert query(postgres_server.dsn(), "show unix_socket_directories") == [("",)]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(postgres_server.dsn(), password="another").close()  # noqa: S106


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_the_database_of_root_runs_as_another_user_on_data_closed_to_others(
    postgres_server: database.Server,
) -> None:
    data = Path(str(query(postgres_server.dsn(), "show data_directory")[0][0]))
    owner = data.stat()
    assert owner.st_uid != 0
    assert stat.S_IMODE(owner.st_mode) == 0o700
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == owner.st_uid


def test_a_database_is_created_once(postgres_server: database.Server) -> None:
    dsn = provision.create_database(postgres_server.dsn(), "twice")
    query(dsn, "create table kept (n int); insert into kept values (1) returning n")
    assert provision.create_database(postgres_server.dsn(), "twice") == dsn
    assert query(dsn, "select n from kept") == [(1,)]
    provision.drop_database(postgres_server.dsn(), "twice")
    assert not database.is_ready(dsn)


def test_a_login_has_the_rights_of_its_role_and_its_newest_password(empty_database_dsn: str) -> None:
    query(
        empty_database_dsn,
        "create role readers nologin; create table facts (n int); grant select on facts to readers; select 1",
    )
    first, second = "one password", "another's"
    provision.create_login(empty_database_dsn, "reads", first, "readers")
    dsn = provision.create_login(empty_database_dsn, "reads", second, "readers")
    assert parse_dsn(dsn)["password"] == second
    assert query(dsn, "select * from facts") == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        query(dsn, "insert into facts values (1) returning n")


def test_the_schema_is_applied_in_order_and_names_the_file_that_fails(
    empty_database_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "002_use.sql").write_text("insert into made values (1);")
    (tmp_path / "001_make.sql").write_text("create table if not exists made (n int);")
    (tmp_path / "README.md").write_text("not SQL")
    provision.apply_schema(empty_database_dsn, tmp_path)
    provision.apply_schema(empty_database_dsn, tmp_path)
    assert query(empty_database_dsn, "select n from made") == [(1,), (1,)]
    (tmp_path / "003_bad.sql").write_text("insert into made values (2); select nonsense;")
    with pytest.raises(provision.SchemaBroken, match=r"003_bad\.sql: column \"nonsense\" does not exist"):
        provision.apply_schema(empty_database_dsn, tmp_path)
    assert query(empty_database_dsn, "select count(*) from made where n = 2") == [(0,)]


def test_a_topic_has_the_partitions_and_the_bounds_of_raw_trades(kafka_bootstrap_servers: str, topic: str) -> None:
    broker.create_topic(kafka_bootstrap_servers, topic)  # again: no error
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    try:
        (described,) = admin.describe_topics([topic])
        assert len(described["partitions"]) == 6
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        settings = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    finally:
        admin.close()
    bounds = {name: int(settings[name]["value"]) for name in ("retention.ms", "retention.bytes")}
    assert bounds == {"retention.ms": 72 * 60 * 60 * 1000, "retention.bytes": 2**30}


def test_a_mistyped_topic_is_not_created(kafka_bootstrap_servers: str) -> None:
    consumer = KafkaConsumer(bootstrap_servers=kafka_bootstrap_servers)
    try:
        assert not consumer.partitions_for_topic("raw_tardes")
        assert "raw_tardes" not in consumer.topics()
    finally:
        consumer.close()


def test_the_broker_keeps_what_it_acknowledged(kafka_bootstrap_servers: str, new_topic: Callable[[], str]) -> None:
    name = new_topic()
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap_servers, acks="all", enable_idempotence=True)
    try:
        sent = producer.send(name, b"value", key=b"key", partition=3).get(timeout=20)
    finally:
        producer.close()
    consumer = KafkaConsumer(bootstrap_servers=kafka_bootstrap_servers)
    try:
        partition = TopicPartition(name, 3)
        assert consumer.end_offsets([partition]) == {partition: sent.offset + 1}
    finally:
        consumer.close()
