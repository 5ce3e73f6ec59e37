"""Which exchange servers the demo asks, and that their trades never mix."""

from pathlib import Path

import pytest

from local.settings import DemoSettings
from local.source import Source, SourceRefused, choose, identity

HERE = ("ws://127.0.0.1:8090", "http://127.0.0.1:8090", "http://127.0.0.1:8090")
OFFICIAL = ("wss://stream.binance.com:9443", "https://api.binance.com", "https://api.kucoin.com")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "LIVE",
        "BINANCE_WS_URL",
        "BINANCE_REST_URL",
        "KUCOIN_REST_URL",
        "EXCHANGE_PORT",
        "EXCHANGE_ADVERTISED_PORT",
    ):
        monkeypatch.delenv(name, raising=False)


def test_the_simulator_is_the_default() -> None:
    assert choose(DemoSettings()) == Source(*HERE, simulated=True, name="simulated")


def test_live_is_the_real_exchanges() -> None:
    assert choose(DemoSettings(live=True)) == Source(*OFFICIAL, simulated=False, name="live")


def test_the_simulators_port_does_not_make_another_source() -> None:
    chosen = choose(DemoSettings(exchange_port=9999))
    assert (chosen.kucoin_rest_url, chosen.name) == ("http://127.0.0.1:9999", "simulated")


def test_a_simulator_behind_a_proxy_is_the_same_source() -> None:
    chosen = choose(DemoSettings(exchange_port=9999, exchange_advertised_port=9998))
    assert (chosen.kucoin_rest_url, chosen.simulated, chosen.name) == ("http://127.0.0.1:9998", True, "simulated")


def test_addresses_point_elsewhere_and_make_another_source_each() -> None:
    one = choose(DemoSettings(live=True, binance_ws_url="ws://one", binance_rest_url="http://one/"))
    two = choose(DemoSettings(live=True, binance_ws_url="ws://two", binance_rest_url="http://two"))
    assert (one.binance_ws_url, one.binance_rest_url, one.kucoin_rest_url) == (
        "ws://one",
        "http://one",
        OFFICIAL[2],
    )
    assert not one.simulated
    assert one.name.startswith("other-")
    assert one.name != two.name


def test_without_live_what_is_not_pointed_elsewhere_is_simulated() -> None:
    chosen = choose(DemoSettings(kucoin_rest_url="http://one"))
    assert (chosen.binance_ws_url, chosen.kucoin_rest_url, chosen.simulated) == (HERE[0], "http://one", True)


def test_the_official_addresses_written_out_are_live() -> None:
    ws_url, rest_url, kucoin_url = OFFICIAL
    assert choose(
        DemoSettings(binance_ws_url=ws_url, binance_rest_url=rest_url, kucoin_rest_url=kucoin_url)
    ) == choose(DemoSettings(live=True))


@pytest.mark.parametrize(
    ("given", "missing"), [("binance_ws_url", "BINANCE_REST_URL"), ("binance_rest_url", "BINANCE_WS_URL")]
)
def test_half_of_binance_is_refused_naming_the_other_half(given: str, missing: str) -> None:
    with pytest.raises(SourceRefused, match=f"^{missing} is not set"):
        choose(DemoSettings(**{given: "http://one"}))


def test_a_folder_belongs_to_one_source(tmp_path: Path) -> None:
    live, simulated = choose(DemoSettings(live=True)), choose(DemoSettings())
    assert identity(live, tmp_path) == "live"
    assert identity(live, tmp_path) == "live"
    with pytest.raises(SourceRefused, match=r"holds trades of the source live.*make clean"):
        identity(simulated, tmp_path)


def test_a_simulated_market_begun_anew_is_another_source(tmp_path: Path) -> None:
    simulated = choose(DemoSettings())
    first, second = identity(simulated, tmp_path / "first"), identity(simulated, tmp_path / "second")
    assert first != second
    assert identity(simulated, tmp_path / "first") == first
