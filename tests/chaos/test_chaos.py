"""The running demo under load, everything that can fail failing, and every promise held at the end."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from chaos import report
from chaos.faults import FAULTS
from chaos.unleash import unleash
from model.demo import Demo
from model.proxy import Proxy

from local.exchange.listing import expand

REPORTS = Path(__file__).parents[2] / "docs" / "chaos"

LoadedDemo = Callable[..., AbstractContextManager[tuple[Demo, Proxy]]]


@pytest.mark.timeout(900)
def test_three_minutes_of_faults_leave_every_bar_right(loaded_demo: LoadedDemo, tmp_path: Path) -> None:
    keys = expand(["binance:3", "kucoin:2"])
    brief = {name: fault for name, fault in FAULTS.items() if fault.brief}
    with loaded_demo(keys, rate=100, MONITOR_HOLE_GRACE_S="5") as (
        demo,
        network,
    ):  # the test has no minutes to wait
        chaos = unleash(demo, network, keys, brief, seed=7, length_s=180, rate=100, quiet_within_s=240)
        told = report.write(chaos, FAULTS, tmp_path / "report").read_text()
    assert (chaos.judgement.wrong, chaos.judgement.lies) == ([], []), told
    assert [one.occurrence.trouble for one in chaos.told] == [""] * len(chaos.told), told
    assert chaos.lost_unexplained == 0, told


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_long_chaos_leaves_every_bar_right(loaded_demo: LoadedDemo, tmp_path: Path) -> None:
    """With the variables CHAOS_SEED, CHAOS_MINUTES, CHAOS_SYMBOLS, of both exchanges, and CHAOS_RATE."""
    seed, minutes = int(os.environ.get("CHAOS_SEED", "1")), float(os.environ.get("CHAOS_MINUTES", "20"))
    symbols, rate = int(os.environ.get("CHAOS_SYMBOLS", "50")), float(os.environ.get("CHAOS_RATE", "3000"))
    keys = expand([f"binance:{symbols - symbols // 2}", f"kucoin:{symbols // 2}"])
    with loaded_demo(keys, rate=rate) as (demo, network):
        chaos = unleash(
            demo,
            network,
            keys,
            FAULTS,
            seed=seed,
            length_s=minutes * 60,
            rate=rate,
            quiet_within_s=max(300, minutes * 45),
        )
        if not chaos.judgement.holds:
            shutil.copytree(next(demo.state_dir.glob("*/logs")), tmp_path / "logs")
    told = report.write(chaos, FAULTS, REPORTS).read_text()
    assert chaos.judgement.holds, told
