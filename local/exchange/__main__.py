"""`python -m local.exchange`: starts the simulator; its settings are environment variables (settings.py)."""

import asyncio
import sys

from pydantic import ValidationError

from local.exchange.listing import UnknownSymbolSpec
from local.exchange.recording import BadRecording
from local.exchange.server import serve
from local.exchange.settings import ExchangeSettings, LogSettings
from local.exchange.world import StateMismatch
from producer.log import configure_logging


def main() -> int:
    """Runs until it is told to stop; 2 where the settings don't hold."""
    try:
        logs, settings = LogSettings(), ExchangeSettings()
        configure_logging(logs.log_format, logs.log_level)
        asyncio.run(serve(settings))
    except ValidationError as error:
        prefix = "EXCHANGE_" if error.title == "ExchangeSettings" else ""
        for problem in error.errors():
            print(f"{prefix}{problem['loc'][0]}".upper() + f": {problem['msg']}", file=sys.stderr)  # noqa: T201
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
