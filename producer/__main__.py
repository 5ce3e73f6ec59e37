"""`python -m producer`: streams trades to Kafka until SIGTERM or Ctrl-C.

Exit code 0: everything read was delivered. 1: something was not, the log says how much. 2: it could not start.
"""

import sys

import structlog
from pydantic import ValidationError

from producer.log import configure_logging
from producer.service import Service, stop_on_signals
from producer.settings import ProducerSettings
from producer.symbols import SymbolsError


def main() -> int:
    try:
        settings = ProducerSettings()
    except ValidationError as error:
        for detail in error.errors():
            name = "_".join(map(str, detail["loc"])).upper()
            sys.stderr.write(f"{name + ': ' if name else ''}{detail['msg']} (it is {detail['input']!r})\n")
        return 2
    configure_logging(settings.log_format, settings.log_level)
    service = Service(settings)
    stop_on_signals(service)
    try:
        return service.run()
    except (SymbolsError, OSError) as error:
        structlog.get_logger().error("cannot start", reason=str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
