"""A port in use is said before anything starts, with the variable that changes it."""

import socket

import pytest

from local import ports
from local.ports import PortsTaken, check, free_port
from local.settings import DemoSettings


def test_a_port_in_use_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortsTaken) as caught:
            check({"KAFKA_PORT": port}, DemoSettings.describe)
    assert str(caught.value) == (
        f"port {port} (the broker) is in use: end what listens there, or set KAFKA_PORT to another"
    )


def test_a_port_that_all_addresses_listen_on_is_in_use_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(PortsTaken):  # noqa: S104 - that is the case
        check({"KAFKA_PORT": server.getsockname()[1]}, DemoSettings.describe)


def test_two_variables_of_one_port_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        PortsTaken, match=f"^EXCHANGE_PORT and KAFKA_PORT both name port {port}: change one of them$"
    ):
        check({"KAFKA_PORT": port, "EXCHANGE_PORT": port}, DemoSettings.describe)


def test_a_port_that_was_left_a_moment_ago_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the server's side closes first, and keeps the port in TIME_WAIT
        client.close()
    check({"KAFKA_PORT": port}, DemoSettings.describe)


def test_the_ports_are_those_of_the_documentation() -> None:
    assert DemoSettings().ports() == {
        "POSTGRES_PORT": 5432,
        "KAFKA_PORT": 9092,
        "KAFKA_CONTROLLER_PORT": 9093,
        "EXCHANGE_PORT": 8090,
        "SPARK_MASTER_PORT": 7077,
        "SPARK_MASTER_UI_PORT": 8080,
        "SPARK_REST_PORT": 6066,
        "SPARK_WORKER_UI_PORT": 8082,
        "METRICS_PORT": 9108,
        "JOB_METRICS_PORT": 9109,
        "AIRFLOW_PORT": 8081,
        "MAILBOX_PORT": 8025,
        "SMTP_PORT": 1025,
    }


def test_another_postgres_needs_no_port_here() -> None:
    assert "POSTGRES_PORT" not in DemoSettings(postgres_dsn="postgresql://there").ports()


def test_a_free_port_is_named_once_and_none_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = free_port(), free_port()
    monkeypatch.setattr(ports, "_drawn", set())
    with socket.create_server(("127.0.0.1", 0)) as server:
        drawn = iter([first, first, server.getsockname()[1], second])
        monkeypatch.setattr("random.randrange", lambda *_: next(drawn))
        assert [free_port(), free_port()] == [first, second]
