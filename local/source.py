"""Where the demo's trades come from. Those of two sources never meet in one state folder or one database.

Trade ids of a simulated and of a real BTC-USDT overlap and mean different trades: mixed, every bar would be wrong.
"""

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from local.settings import DemoSettings
from producer.settings import ProducerSettings

SIMULATED, LIVE = "simulated", "live"

IDENTITY_FILE = "source.txt"


class SourceRefused(ValueError):
    """The addresses do not make a source, or what is here belongs to another one; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """One set of exchange servers.

    binance_ws_url, binance_rest_url, kucoin_rest_url: as the producer gets them.
    simulated: whether any of them is the demo's own simulator.
    name: of the state folder; the same for the same servers.
    """

    binance_ws_url: str
    binance_rest_url: str
    kucoin_rest_url: str
    simulated: bool
    name: str


def choose(settings: DemoSettings) -> Source:
    """The source that the settings ask for. Raises SourceRefused."""
    simulator = f"127.0.0.1:{settings.exchange_advertised_port or settings.exchange_port}"
    given = (settings.binance_ws_url, settings.binance_rest_url, settings.kucoin_rest_url)
    official = (_default("binance_ws_url"), _default("binance_rest_url"), _default("kucoin_rest_url"))
    simulated = (f"ws://{simulator}", f"http://{simulator}", f"http://{simulator}")
    if not settings.live and bool(settings.binance_ws_url) != bool(settings.binance_rest_url):
        missing = "BINANCE_REST_URL" if settings.binance_ws_url else "BINANCE_WS_URL"
        raise SourceRefused(
            f"{missing} is not set: Binance's trades and their past must come from one server. Set it too, "
            "or LIVE=1 for the real one"
        )
    defaults = official if settings.live else simulated
    urls = tuple(url.rstrip("/") or default for url, default in zip(given, defaults, strict=True))
    if not any(given):
        name = LIVE if settings.live else SIMULATED
    elif urls == official:
        name = LIVE
    else:
        # the simulator's port is no part of what it is
        parts = [SIMULATED if url in simulated else url for url in urls]
        name = "other-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
    return Source(urls[0], urls[1], urls[2], any(url in simulated for url in urls), name)


def identity(source: Source, folder: Path) -> str:
    """What the source's database is marked with: made at the first start, kept in the state folder.

    A simulated market that was forgotten and begun anew is another source, so its mark is another one.
    Raises SourceRefused where the folder holds another source's state.
    """
    file = folder / IDENTITY_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        mark = f"{source.name}-{secrets.token_hex(4)}" if source.simulated else source.name
        file.write_text(f"{mark}\n")
    found = file.read_text().strip()
    if not (found == source.name or (source.simulated and found.startswith(f"{source.name}-"))):
        raise SourceRefused(
            f"{folder} holds trades of the source {found}, which never mix with those of {source.name}: "
            "name another folder in DEMO_STATE_DIR, or forget this one with make clean"
        )
    return found


def _default(field: str) -> str:
    return str(ProducerSettings.model_fields[field].default)
