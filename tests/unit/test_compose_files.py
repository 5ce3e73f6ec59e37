"""docker-compose.yml, the Dockerfiles and Prometheus' files, read as text: what can be known without an engine."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.settings import DemoSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted([*ROOT.glob("*/Dockerfile"), *ROOT.glob("*/*/Dockerfile")])

ONCE = {"settings", "schema", "airflow-init"}
OFFICIAL = {
    "postgres": "postgres:17",
    "kafka": "apache/kafka:4.3.1",
    "pgadmin": "dpage/pgadmin4:9.18",
    "mailbox": "maildev/maildev:2.2.1",
    "prometheus": "prom/prometheus:v2.53.3",
}
# By variable: the port outside, and the one inside.
PUBLISHED = {
    "postgres": ("POSTGRES_PORT", 5432, 5432),
    "kafka": ("KAFKA_PORT", 9092, 9092),
    "spark-master": ("SPARK_MASTER_UI_PORT", 8080, 8080),
    "airflow-api-server": ("AIRFLOW_PORT", 8081, 8080),
    "pgadmin": ("PGADMIN_PORT", 5050, 80),
    "mailbox": ("MAILBOX_PORT", 8025, 1080),
    "simulator": ("EXCHANGE_PORT", 8090, 8090),
    "prometheus": ("PROMETHEUS_PORT", 9090, 9090),
}
# Their start scripts write beside themselves, or what they keep is to live as long as the container.
WRITABLE = {"kafka", "pgadmin", "spark-master", "spark-worker"}

every_service = pytest.mark.parametrize("name", SERVICES)


def test_the_services_are_those_that_people_know() -> None:
    assert set(SERVICES) == {
        *OFFICIAL,
        *ONCE,
        *("producer", "simulator", "spark-master", "spark-worker"),
        *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
    }
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"simulator": ["demo"], "prometheus": ["metrics"]}


def test_images_are_pinned_or_built_here() -> None:
    assert {name: SERVICES[name]["image"] for name in OFFICIAL} == OFFICIAL
    for name in SERVICES.keys() - OFFICIAL.keys():
        assert SERVICES[name]["image"].startswith("crypto-pipeline/")
        assert (ROOT / SERVICES[name]["build"]["dockerfile"]).is_file()
    bases = {base for file in DOCKERFILES for base in bases_of(file)}
    assert bases == {"python:3.13-slim", "apache/airflow:3.3.2-python3.13"}


def test_the_airflow_image_has_the_version_of_the_requirements() -> None:
    pinned = re.search(
        r"^apache-airflow==(\S+)", (ROOT / "requirements" / "airflow.txt").read_text(), re.MULTILINE
    )
    assert pinned is not None
    assert f"apache/airflow:{pinned[1]}-" in (ROOT / "airflow" / "Dockerfile").read_text()


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_dockerfiles_need_no_registry_and_leave_no_root(file: Path) -> None:
    text = file.read_text()
    assert "# syntax=" not in text
    assert "@sha256:" not in text
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    if "apache/airflow" not in text:  # whose image has a user of its own
        assert "USER pipeline" in stages[-1]
    assert "--require-hashes" in text
    assert re.search(r"\b(gcc|build-essential|--no-cache-dir)\b", text) is None


def test_one_version_of_each_package_is_everywhere() -> None:
    known = versions("dev")
    for name in ("producer", "spark", "exchange"):
        assert versions(name).items() <= known.items(), name


@every_service
def test_ports_are_open_on_loopback_unless_told_otherwise_and_inner_ones_never(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    if name not in PUBLISHED:
        assert published == []
        return
    variable, outside, inside = PUBLISHED[name]
    assert published == [f"${{BIND_ADDRESS:-127.0.0.1}}:${{{variable}:-{outside}}}:{inside}"]


def test_ports_are_those_of_the_demo() -> None:
    ports = DemoSettings.model_fields
    for variable, outside, _ in PUBLISHED.values():
        if variable not in ("PGADMIN_PORT", "PROMETHEUS_PORT"):  # which the demo has not
            assert ports[variable.lower()].default == outside


def test_neither_sparks_submissions_nor_kafkas_inner_listener_are_published() -> None:
    inside = {port.rpartition(":")[2] for service in SERVICES.values() for port in service.get("ports", [])}
    assert inside.isdisjoint({"6066", "7077", "19092", "9093", "9108", "9109", "1025"})
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert listeners[0] == "INNER://kafka:19092"


@every_service
def test_every_service_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[0-9]+m", service["mem_limit"])
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert service["restart"] == ("on-failure:3" if name in ONCE else "unless-stopped")
    assert "container_name" not in service  # or it could not be scaled
    if name not in ONCE:
        assert service["healthcheck"]["test"]
        assert service["healthcheck"]["start_interval"]
        assert service["stop_grace_period"] if name != "mailbox" else True


def test_all_that_run_together_fit_8_gb() -> None:
    limits = [int(service["mem_limit"][:-1]) for name, service in SERVICES.items() if name not in ONCE]
    assert sum(limits) <= 8 * 1024


@every_service
def test_no_service_may_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "pgadmin" else [])
    assert service.get("user") == ("postgres" if name == "postgres" else None)  # the other images have users
    assert service.get("read_only", False) == (name not in WRITABLE)
    assert not {"privileged", "network_mode", "pid", "ipc"} & service.keys()
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))


def test_what_must_end_in_order_has_the_time_for_it() -> None:
    grace_s = {name: int(SERVICES[name].get("stop_grace_period", "10s")[:-1]) for name in SERVICES}
    assert grace_s["producer"] > 30 + 5  # FLUSH_TIMEOUT_S, and its readers' end
    assert min(grace_s[name] for name in ("postgres", "kafka", "spark-worker", "airflow-scheduler")) >= 60


def test_secrets_have_no_value_in_the_files() -> None:
    for name, variable, value in environments():
        if re.search(r"PASSWORD$|SECRET|FERNET|_KEY$|TOKEN", variable):
            assert value is None, f"{name}: {variable}"
    secret = re.compile(r"\$\{[A-Z_]*(PASSWORD|SECRET)")
    assert not any(secret.search(file.read_text()) for file in ROOT.glob("docker-compose*.yml"))


def waits_for(name: str) -> set[str]:
    """All services that must be ready before this one starts."""
    needed = set(SERVICES[name].get("depends_on", {}))
    return needed.union(*(waits_for(one) for one in needed))


def test_services_wait_for_what_they_need_to_be_ready() -> None:
    known = SERVICES.keys()
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in known
            expected = "service_completed_successfully" if needed in ONCE else "service_healthy"
            assert how["condition"] == expected, f"{name} on {needed}"
            # what another profile starts may be missing
            assert how.get("required", True) == ("profiles" not in SERVICES[needed])
        mounts_settings = any(volume.startswith("settings") for volume in service.get("volumes", []))
        assert name == "settings" or not mounts_settings or "settings" in waits_for(name), name
    waited_for = {needed for service in SERVICES.values() for needed in service.get("depends_on", {})}
    assert waited_for >= ONCE  # else `up --wait` takes their end for a failure


def test_volumes_are_named_and_used() -> None:
    mounted = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith("./")
    }
    assert mounted == set(COMPOSE["volumes"])
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert volume.endswith(":ro")
                assert (ROOT / volume.split(":")[0]).exists()


def test_prometheus_asks_for_services_that_are_there_and_each_alert_says_what_to_do() -> None:
    folder = ROOT / "containers" / "prometheus"
    jobs = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    asked = {name for job in jobs for sd in job.get("dns_sd_configs", []) for name in sd["names"]}
    asked |= {
        target.partition(":")[0]
        for job in jobs
        for static in job.get("static_configs", [])
        for target in static["targets"]
    }
    assert asked - {"localhost"} <= SERVICES.keys()
    for group in yaml.safe_load((folder / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]


def bases_of(file: Path) -> Iterator[str]:
    stages = set()
    for base, stage in re.findall(r"^FROM (\S+)(?: AS (\S+))?$", file.read_text(), re.MULTILINE):
        if base not in stages:
            yield base
        stages.add(stage)


def versions(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {
        line: line.split("==")[1]
        for line in re.findall(r"^([a-z][^ ]+==\S+(?: ; [^\\]+)?) \\$", text, re.MULTILINE)
    }


def environments() -> Iterator[tuple[str, str, Any]]:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            yield name, variable, value
