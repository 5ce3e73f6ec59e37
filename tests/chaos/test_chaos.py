"""The running demo under load, everything that can fail failing, and every promise held at the end."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from chaos import report
from chaos.faults import FAULTS
from chaos.ground import Surroundings
from chaos.unleash import unleash
from model.demo import Demo

from local.exchange.listing import expand

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "docs" / "chaos"
OF_SOME = ROOT / ".state" / "chaos"  # reports of faults that were chosen

SurroundedDemo = Callable[..., AbstractContextManager[tuple[Demo, Surroundings]]]


@pytest.mark.timeout(900)
def test_three_minutes_of_faults_leave_every_bar_right(surrounded_demo: SurroundedDemo, tmp_path: Path) -> None:
    keys = expand(["binance:3", "kucoin:2"])
    brief = {name: fault for name, fault in FAULTS.items() if fault.brief}
    with surrounded_demo(keys, rate=100, MONITOR_HOLE_GRACE_S="5") as (
        demo,
        around,
    ):  # the test has no minutes to wait
        chaos = unleash(demo, around, keys, brief, seed=7, length_s=180, rate=100, quiet_within_s=240)
        told = report.write(chaos, FAULTS, tmp_path / "report").read_text()
    assert (chaos.judgement.wrong, chaos.judgement.lies) == ([], []), told
    assert [one.occurrence.trouble for one in chaos.told] == [""] * len(chaos.told), told
    assert chaos.lost_unexplained == 0, told


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_long_chaos_leaves_every_bar_right(surrounded_demo: SurroundedDemo, tmp_path: Path) -> None:
    """With the variables CHAOS_SEED, CHAOS_MINUTES, CHAOS_SYMBOLS, of both exchanges, CHAOS_RATE, and CHAOS_FAULTS
    for some faults only, separated by commas.
    """
    seed, minutes = int(os.environ.get("CHAOS_SEED", "1")), float(os.environ.get("CHAOS_MINUTES", "20"))
    symbols, rate = int(os.environ.get("CHAOS_SYMBOLS", "50")), float(os.environ.get("CHAOS_RATE", "3000"))
    chosen = [name.strip() for name in os.environ.get("CHAOS_FAULTS", "").split(",") if name.strip()]
    assert not (unknown := set(chosen) - set(FAULTS)), f"no such fault: {unknown}; there are {sorted(FAULTS)}"
    faults = {name: FAULTS[name] for name in chosen or FAULTS}
    keys = expand([f"binance:{symbols - symbols // 2}", f"kucoin:{symbols // 2}"])
    with surrounded_demo(keys, rate=rate) as (demo, around):
        chaos = unleash(
            demo,
            around,
            keys,
            faults,
            seed=seed,
            length_s=minutes * 60,
            rate=rate,
            quiet_within_s=max(300, minutes * 45),
        )
        if not chaos.judgement.holds:
            shutil.copytree(next(demo.state_dir.glob("*/logs")), tmp_path / "logs")
    told = report.write(chaos, FAULTS, OF_SOME if chosen else REPORTS).read_text()
    assert chaos.judgement.holds, told
