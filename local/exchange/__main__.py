"""`python -m local.exchange`: starts the simulator; its settings are environment variables (settings.py)."""

import asyncio
import sys

from pydantic import ValidationError

from local.exchange.listing import UnknownSymbolSpec
from local.exchange.recording import BadRecording
from local.exchange.server import serve
from local.exchange.settings import ExchangeSettings
from local.exchange.world import StateMismatch
from producer.log import configure_logging


def main() -> int:
    """Runs until it is told to stop; 2 where the settings don't hold."""
    try:
        settings = ExchangeSettings()
        configure_logging(settings.log_format, settings.log_level)
        asyncio.run(serve(settings))
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]).upper()
            name = name if name.startswith("LOG_") else f"EXCHANGE_{name}"
            print(f"{name}: {problem['msg']}", file=sys.stderr)  # noqa: T201 - before logging exists
        return 2
    except (BadRecording, StateMismatch, UnknownSymbolSpec) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who started it
        return 2
    except OSError as error:
        print(f"EXCHANGE_PORT={settings.port}: {error}", file=sys.stderr)  # noqa: T201 - as above
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
