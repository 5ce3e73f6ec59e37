"""The demo in containers, as its user starts it, with a project name, ports and settings of its own."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from model.demo import Demo, wait_until

from local.exchange.control import Control

ROOT = Path(__file__).parents[2]
PROJECT = "crypto-pipeline-test"
PROFILES = ("--profile", "demo", "--profile", "metrics")


@dataclass
class Containers(Demo):
    """state_dir: a copy of the project's files, to build from and to change. environ: with no setting in it."""

    ports: Mapping[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, within_s: float = 900) -> str:
        """Runs docker compose; what it printed. Raises AssertionError with that where it failed."""
        run = subprocess.run(
            ["docker", "compose", "-p", PROJECT, "--progress", "plain", *PROFILES, *arguments],
            cwd=self.state_dir,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert run.returncode == 0, f"docker compose {' '.join(arguments)}:\n{run.stdout[-6000:]}"
        return run.stdout

    def configure(self, settings: Mapping[str, str]) -> None:
        """Writes `.env`: the example with these values instead."""
        text = (ROOT / ".env.example").read_text()
        for name, value in {**settings, **{name: str(port) for name, port in self.ports.items()}}.items():
            text, found = re.subn(rf"^{name}=.*$", f'{name}="{value}"', text, flags=re.MULTILINE)
            assert found == 1, name
        (self.state_dir / ".env").write_text(text)

    def start(self) -> None:
        self.compose("up", "--detach", "--wait", "--wait-timeout", "600")
        self.dsn = self.addresses()["POSTGRES_DSN"]

    def addresses(self) -> dict[str, str]:
        """Those that `make env` prints of a demo without containers."""
        port = self.ports
        database = f"127.0.0.1:{port['POSTGRES_PORT']}/crypto_data"
        superuser = self.login("superuser")
        return {
            "POSTGRES_DSN": f"postgresql://crypto_pipeline_people:{self.login('reader')}@{database}",
            "POSTGRES_SUPERUSER_DSN": f"postgresql://postgres:{superuser}@{database}",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port['KAFKA_PORT']}",
            "BINANCE_REST_URL": f"http://127.0.0.1:{port['EXCHANGE_PORT']}",
            "AIRFLOW_URL": f"http://127.0.0.1:{port['AIRFLOW_PORT']}",
            "AIRFLOW_ADMIN_PASSWORD": self.login("airflow_admin"),
            "MAILBOX_URL": f"http://127.0.0.1:{port['MAILBOX_PORT']}",
            "PGADMIN_URL": f"http://127.0.0.1:{port['PGADMIN_PORT']}",
            "PROMETHEUS_URL": f"http://127.0.0.1:{port['PROMETHEUS_PORT']}",
            "SPARK_UI_URL": f"http://127.0.0.1:{port['SPARK_MASTER_UI_PORT']}",
        }

    def truth(self) -> Control:
        return Control(self.addresses()["BINANCE_REST_URL"])

    def login(self, who: str) -> str:
        """A password, as the service `settings` keeps it."""
        if not self.passwords:
            show = "print(open('/settings/all/passwords.json').read())"
            shown = self.compose("run", "--rm", "--no-deps", "-T", "settings", "python", "-c", show)
            self.passwords = json.loads(re.findall(r"^\{.*\}$", shown, re.MULTILINE)[-1])
        return self.passwords[who]

    def mails(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.addresses()['MAILBOX_URL']}/email").json()
        return found

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        return self.compose("ps", "--quiet", service).split()

    def kill(self, service: str) -> None:
        """Kills a service's first process, as a crash does, and waits until Docker has started it again.

        Not with `docker kill`: after that the engine leaves a container alone.
        """
        [container] = self.containers(service)
        before = inspect(container)["State"]
        subprocess.run(
            [
                *("docker", "run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "python"),
                *("crypto-pipeline/producer", "-c", f"import os; os.kill({before['Pid']}, 9)"),
            ],
            check=True,
            timeout=60,
        )

        def is_back() -> bool:
            state = inspect(container)["State"]
            return state["StartedAt"] != before["StartedAt"] and state["Health"]["Status"] == "healthy"

        wait_until(is_back, 300, f"{service} is healthy again")

    def memory_mb(self) -> dict[str, int]:
        """What each running container holds in memory now, by its name."""
        ids = self.compose("ps", "--quiet").split()
        run = subprocess.run(
            ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found = re.findall(r"^(\S+) ([0-9.]+)([KMG])iB", run.stdout, re.MULTILINE)
        return {name: round(float(size) * {"K": 1 / 1024, "M": 1, "G": 1024}[unit]) for name, size, unit in found}


def inspect(name: str) -> dict[str, Any]:
    """What the engine knows of a container or an image."""
    run = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=True, timeout=60)
    [found] = json.loads(run.stdout)
    return dict(found)


def copy_project(to: Path, files: Sequence[str]) -> None:
    """The project's tracked files, so that an upgrade can change them."""
    for name in files:
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)


def bare_environ(settings: Sequence[str]) -> dict[str, str]:
    """This process' environment without any of the settings: they would win over `.env`."""
    return {name: value for name, value in os.environ.items() if name not in settings}


def seconds_since(began: float) -> float:
    return round(time.monotonic() - began, 1)
