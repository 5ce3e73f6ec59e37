"""`python -m local.demo`: the whole pipeline on this machine, until Ctrl-C.

Exit code 0: it was asked to stop, and stopped in order. 1: it could not start, or something in it does not stay
up. 2: a setting is wrong.
"""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import psycopg2
from pydantic import ValidationError
from rich.console import Console

from local import airflow, broker, database, leftovers, ports, provision, source, stack, state, view
from local.jars import JarsUnavailable
from local.java import NoJava
from local.settings import DemoSettings
from local.supervision import ProgramFailed, Supervisor, supervised
from producer.symbols import ActiveSymbol, SymbolsError, load_symbols

_SUBMIT_DAG = "crypto_pipeline_submit_dag"
_JOB_WITHIN_S = 240

_CANNOT = (
    airflow.AirflowBroken,
    airflow.AirflowRefused,
    httpx.HTTPError,
    broker.BrokerBroken,
    database.DatabaseBroken,
    provision.SchemaBroken,
    provision.DatabaseRefused,
    psycopg2.Error,
    JarsUnavailable,
    NoJava,
    ports.PortsTaken,
    state.AlreadyRunning,
    ProgramFailed,
    source.SourceRefused,
)


def main() -> int:
    try:
        settings = DemoSettings()
        chosen = source.choose(settings)
        symbols = load_symbols(settings.symbols_file, settings.active_symbols)
    except ValidationError as error:
        for detail in error.errors():
            name = "_".join(map(str, detail["loc"])).upper()
            value = "" if name == "POSTGRES_DSN" else f" (it is {detail['input']!r})"  # it holds a password
            sys.stderr.write(f"{name}: {detail['msg']}{value}\n")
        return 2
    except (source.SourceRefused, SymbolsError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with state.held(settings.demo_state_dir):
            try:
                _run(settings, chosen, symbols, console)
            finally:
                leftovers.end(settings.demo_state_dir)  # nothing, unless something was killed from outside
    except KeyboardInterrupt:
        console.print("stopped; the next make demo goes on from here, make clean forgets")
        return 0
    except _CANNOT as error:
        console.print(str(error).strip(), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _run(settings: DemoSettings, chosen: source.Source, symbols: list[ActiveSymbol], console: Console) -> None:
    """Runs the pipeline until it is interrupted. Raises KeyboardInterrupt then, or what is in _CANNOT."""

    def say(what: str) -> None:
        console.print(f"- {what}", markup=False, highlight=False, soft_wrap=True)

    state_dir = settings.demo_state_dir
    say(f"trades of {len(symbols)} symbols, {_described(chosen)}")
    if left := leftovers.end(state_dir):
        say(f"ended {left} processes of a demo that was killed")
    wanted = settings.ports()
    if not chosen.simulated:
        wanted = {variable: port for variable, port in wanted.items() if variable != "EXCHANGE_PORT"}
    ports.check(wanted, DemoSettings.describe)
    folder = (state_dir / chosen.name).resolve()
    identity = source.identity(chosen, folder)
    passwords = state.passwords(folder)
    keys = [f"{symbol.exchange}:{symbol.name}" for symbol in symbols]
    built = stack.build(settings, chosen, keys, folder, passwords, say)
    with supervised(built.programs, folder, built.environ) as supervisor:
        try:
            reader_dsn = _start(supervisor, built, passwords, identity, say)
            say("everything runs")
            with state.published(state_dir, built.assignments):
                pairs = [(symbol.exchange, symbol.name) for symbol in symbols]
                view.show(console, reader_dsn, pairs, built.addresses, lambda: _states(supervisor))
        except KeyboardInterrupt:
            say("stopping: the producer hands over what it has read, then Airflow, Spark, broker and database end")
            raise


def _start(
    supervisor: Supervisor,
    built: stack.Stack,
    passwords: state.Passwords,
    identity: str,
    say: Callable[[str], None],
) -> str:
    """Starts everything, each when what it needs is ready; returns the reader's DSN."""
    say("starting " + ", ".join(program.name for program in built.servers))
    supervisor.start(*built.servers)
    reader_dsn = provision.set_up(
        built.postgres_dsn,
        identity,
        writer=passwords.writer,
        reader=passwords.reader,
        monitor=passwords.monitor,
    )
    broker.create_topic(built.bootstrap_servers, stack.TOPIC)
    for programs in built.engines:
        say("starting " + ", ".join(program.name for program in programs))
        supervisor.start(*programs)
    say("preparing Airflow's own database")
    provision.create_owned_database(built.postgres_dsn, airflow.DATABASE, passwords.airflow)
    airflow.migrate(built.airflow, built.environ)
    say("starting Airflow: " + ", ".join(program.name for program in built.airflow_processes))
    supervisor.start(*built.airflow_processes)
    say(f"{_SUBMIT_DAG} starts the job")
    if not built.airflow.api.has_active_run(_SUBMIT_DAG):
        built.airflow.api.trigger(_SUBMIT_DAG)
    deadline = time.monotonic() + _JOB_WITHIN_S
    while not built.job_runs():
        if time.monotonic() > deadline:
            raise ProgramFailed(
                f"the job does not run after {_JOB_WITHIN_S} s: see the task of {_SUBMIT_DAG} at "
                f"{built.airflow.url}"
            )
        time.sleep(0.5)
    say(f"starting {built.producer.name}")
    supervisor.start(built.producer)
    return reader_dsn


def _states(supervisor: Supervisor) -> Mapping[str, str]:
    if not supervisor.is_alive():
        raise ProgramFailed("supervisord, which runs the processes, was ended from outside")
    states = supervisor.states()
    for name, now in states.items():
        if now == "FATAL":
            raise supervisor.failure(name, "does not stay up")
    return states


def _described(chosen: source.Source) -> str:
    if chosen.name == source.SIMULATED:
        return "from the simulated exchange"
    if chosen.name == source.LIVE:
        return "from the real exchanges"
    return f"from {chosen.binance_ws_url}, {chosen.binance_rest_url} and {chosen.kucoin_rest_url}"


def _interrupt(number: int, frame: Any) -> None:
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, lambda *_: None)  # stopping takes the time it takes
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
