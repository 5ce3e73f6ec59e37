"""`python -m containers.exchange`: the simulator, listing what the pipeline carries."""

import os
import sys

from local.exchange.__main__ import main
from producer.settings import ProducerSettings
from producer.symbols import load_symbols

if __name__ == "__main__":
    settings = ProducerSettings()
    symbols = load_symbols(settings.symbols_file, settings.active_symbols)
    os.environ["EXCHANGE_SYMBOLS"] = ",".join(f"{symbol.exchange}:{symbol.name}" for symbol in symbols)
    sys.exit(main())
