"""What Airflow takes from the plugins folder, and what the package there keeps beside its modules."""

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil

PLUGINS_DIR = Path(__file__).parents[2] / "airflow" / "plugins"
PACKAGE_DIR = PLUGINS_DIR / "crypto_pipeline"


def test_airflow_loads_the_plugin_alone_which_registers_the_listeners() -> None:
    """In a process of its own, as each of Airflow's is; by the plugins manager of the core, and that of tasks."""
    script = f"""
import json, sys
from airflow import plugins_manager
from airflow.listeners.listener import get_listener_manager
from airflow.sdk import plugins_manager as plugins_manager_of_tasks
found = [manager._get_plugins() for manager in (plugins_manager, plugins_manager_of_tasks)]
modules = ["crypto_pipeline.submit.listener", "crypto_pipeline.leftover_workers"]
listens = [get_listener_manager().pm.has_plugin(module) for module in modules]
files = {{name: str(getattr(module, "__file__", "")) for name, module in sys.modules.items()}}
ours = {{name.partition(".")[0] for name, file in files.items() if file.startswith({str(PLUGINS_DIR)!r})}}
names = [[plugin.name for plugin in plugins if "PLUGINS_FOLDER" in str(plugin.source)] for plugins, _ in found]
print(json.dumps([names, [errors for _, errors in found], listens, sorted(ours)]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert json.loads(run.stdout.splitlines()[-1]) == [
        [["crypto_pipeline"], ["crypto_pipeline"]],
        [{}, {}],
        [True, True],
        ["crypto_pipeline", "crypto_pipeline_plugin"],
    ]


def test_a_scheduler_that_leaves_its_workers_behind_ends() -> None:
    """As one does that was refused memory: it must end to be started anew."""
    script = """
import multiprocessing, subprocess, time
from airflow.executors.local_executor import LocalExecutor
from airflow.jobs.job import Job
def work(pids):
    pids.put(subprocess.Popen(["sleep", "600"]).pid)
    time.sleep(600)
Job()
executor = LocalExecutor(parallelism=1)
executor.start()
pids = multiprocessing.SimpleQueue()
busy = multiprocessing.Process(target=work, args=(pids,))
busy.start()
print(*executor.workers, busy.pid, pids.get(), flush=True)
raise SystemError("the loop is left, and LocalExecutor.end not called")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "LocalExecutor.end not called" in run.stderr, run.stderr[-3000:]
    started = [int(pid) for pid in run.stdout.splitlines()[-1].split()]
    assert len(started) == 3
    alive = [pid for pid in started if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert alive == []


def test_each_statement_and_template_is_used_by_the_package_that_it_lies_in() -> None:
    files = [*PACKAGE_DIR.rglob("sql/*.sql"), *PACKAGE_DIR.rglob("templates/*.subject")]
    assert len(files) > 40
    for file in files:
        package = file.parent.parent
        name = (package.relative_to(PACKAGE_DIR) / file.stem).as_posix()
        assert any(f'"{name}"' in module.read_text() for module in package.glob("*.py")), name


def test_each_statement_and_template_that_a_module_names_is_there() -> None:
    named = {
        PACKAGE_DIR / package / "{}" / name
        for module in PACKAGE_DIR.rglob("*.py")
        for package, name in re.findall(r'"(\w+)/(\w+)"', module.read_text())
    }
    assert len(named) > 40
    for place in named:
        statement, mail = str(place).format("sql") + ".sql", str(place).format("templates")
        assert Path(statement).exists() or all(Path(f"{mail}.{k}").exists() for k in ("subject", "html", "txt"))


def test_messages_of_every_compression_can_be_looked_at() -> None:
    """The monitor does, to tell how old what is unread is; who writes the topic may compress as he likes."""
    from kafka import codec

    assert [codec.has_gzip(), codec.has_snappy(), codec.has_lz4(), codec.has_zstd()] == [True] * 4
