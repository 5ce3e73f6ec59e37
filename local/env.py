"""`python -m local.env` prints the running demo's addresses and credentials as shell assignments.

With `--psql` it opens the demo's database with the psql that came with it instead, as the read-only user.
"""

import argparse
import os
import shlex
import subprocess
import sys

from psycopg2.extensions import parse_dsn

from local import database, state
from local.provision import changed
from local.settings import DemoSettings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.env", description=__doc__)
    parser.add_argument("--psql", action="store_true", help="open the demo's database")
    parser.add_argument("arguments", nargs="*", help="for psql")
    arguments = parser.parse_args()
    state_dir = DemoSettings().demo_state_dir
    assignments = state.running_addresses(state_dir)
    if assignments is None:
        sys.stderr.write(
            f"no demo is up in {state_dir}: start one with make demo, and wait until it shows prices\n"
        )
        return 1
    if arguments.psql:
        addresses = dict(word.split("=", 1) for word in shlex.split(assignments))
        psql = database.installed_programs() / "psql"
        # not in its arguments, which everybody on the machine can list
        password = str(parse_dsn(addresses["POSTGRES_DSN"])["password"])
        dsn = changed(addresses["POSTGRES_DSN"], password="")
        environ = {**os.environ, "PGPASSWORD": password}
        return subprocess.run([psql, dsn, *arguments.arguments], env=environ, check=False).returncode
    sys.stdout.write(assignments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
