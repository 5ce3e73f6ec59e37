"""`python -m local.clean` forgets everything that the demo has gathered; what was installed and fetched stays."""

import shutil
import sys

from local import database, leftovers, state
from local.settings import DemoSettings


def main() -> int:
    state_dir = DemoSettings().demo_state_dir
    try:
        with state.held(state_dir):
            leftovers.end(state_dir)
            for source in state_dir.iterdir():
                database.forget(source / "postgres")
            shutil.rmtree(state_dir)
    except state.AlreadyRunning as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
