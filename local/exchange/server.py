"""Puts both exchanges and the control interface on one port."""

import asyncio
import signal
from contextlib import suppress

import structlog
from aiohttp import WSCloseCode, web

from local.exchange.backend import Backend
from local.exchange.binance_bulk import BinanceBulk
from local.exchange.binance_rest import BinanceRest
from local.exchange.binance_ws import BinanceWebSocket
from local.exchange.candles import Candles
from local.exchange.control_api import Control
from local.exchange.faults import Faults
from local.exchange.feed import Feed
from local.exchange.kucoin_rest import KucoinRest
from local.exchange.kucoin_tokens import Tokens
from local.exchange.kucoin_ws import KucoinWebSocket
from local.exchange.sent import SentLog
from local.exchange.settings import ExchangeSettings
from local.exchange.world import open_world

log = structlog.get_logger()


async def serve(settings: ExchangeSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises OSError where the port is taken, and what `open_world` raises."""
    faults = Faults(asyncio.get_running_loop().time)
    world = open_world(settings, clock_error_us=faults.clock_error_us)
    sent = SentLog(settings.state_dir / "sent.csv" if settings.sent_log else None)
    feed = Feed(world, faults, sent, settings.tick_s, settings.kline_every_s)
    backend = Backend(settings, world, feed, faults, sent, Candles())
    if settings.replay == "start":
        world.begin_replay()

    runner = web.AppRunner(application(backend), access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    log.info(
        "serving",
        address=f"http://{settings.host}:{settings.port}",
        symbols=len(world.markets),
        trades_per_s=settings.rate,
        replayed=world.replayed,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(feed.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # the feed never ends by itself: tell why it did
    finally:
        running.cancel()
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await asyncio.gather(
            *(c.ws.close(code=WSCloseCode.GOING_AWAY, drain=False) for c in feed.connections.values())
        )
        await runner.cleanup()
        world.save()
        sent.close()
        log.info("stopped")


def application(backend: Backend) -> web.Application:
    """The web application of all servers."""
    tokens = Tokens(backend.settings.kucoin_token_life_s, backend.faults)
    binance = BinanceWebSocket(backend)
    app = web.Application()
    for server in (
        BinanceRest(backend),
        BinanceBulk(backend),
        binance,
        KucoinRest(backend, tokens),
        KucoinWebSocket(backend, tokens),
        Control(backend, binance, tokens),
    ):
        app.add_routes(server.routes())
    return app
