"""What a report makes of samples: when a fault was seen, when it was made up for, what it lost."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

from chaos.fault import fault
from chaos.judgement import Judgement
from chaos.report import markdown
from chaos.story import Aftermath, Occurrence, aftermaths, unexplained_losses
from chaos.timeline import timeline
from chaos.unleash import Chaos
from chaos.watch import Sample

BEGAN = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
FAULTS = {
    one.kind.name: one
    for one in [
        fault("producer killed", "it dies", lambda site: nullcontext(), "producer", loses=True),
        fault("job killed", "it dies too", lambda site: nullcontext(), "job"),
    ]
}


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def occurrence(name: str, began_s: float, ended_s: float, number: int = 1) -> Occurrence:
    return Occurrence(number, name, at(began_s), at(ended_s), "process 7")


def samples(troubles: dict[int, dict[str, int]], lost: dict[int, int], until_s: int = 120) -> list[Sample]:
    """A sample every ten seconds; lost: from that second on."""
    return [
        Sample(
            at(second),
            troubles.get(second, {}),
            max([n for since, n in lost.items() if since <= second], default=0),
        )
        for second in range(0, until_s, 10)
    ]


def test_a_fault_is_seen_by_what_was_not_amiss_before_and_repaired_when_that_is_over() -> None:
    one = occurrence("producer killed", 25, 30)
    seen = samples(
        {
            20: {"alert: gap": 1},
            30: {"alert: gap": 1, "producer not running": 1},
            40: {"alert: gap": 1, "ids missing": 3},
            50: {"alert: gap": 1, "ids missing": 3},
            60: {"alert: gap": 1},
        },
        {40: 120},
    )
    troubles = ("ids missing", "producer not running")
    assert aftermaths([one], seen, FAULTS) == [Aftermath(one, at(30), troubles, at(60), 120)]


def test_a_fault_that_nothing_shows_was_absorbed() -> None:
    one = occurrence("job killed", 25, 30)
    assert aftermaths([one], samples({}, {}), FAULTS) == [Aftermath(one, None, (), None, 0)]


def test_what_is_amiss_until_the_end_was_never_repaired() -> None:
    one = occurrence("job killed", 25, 30)
    seen = samples({second: {"trades late": 5} for second in range(30, 120, 10)}, {})
    assert aftermaths([one], seen, FAULTS) == [Aftermath(one, at(30), ("trades late",), None, 0)]


def test_trades_lost_count_for_the_last_fault_that_can_lose_any_and_else_for_none() -> None:
    first = occurrence("producer killed", 15, 16)
    second = occurrence("producer killed", 35, 36, number=2)
    other = occurrence("job killed", 38, 39, number=3)
    seen = samples({}, {20: 5, 40: 12, 110: 13})
    told = aftermaths([first, second, other], seen, FAULTS)
    assert [one.lost for one in told] == [5, 7, 0]
    assert unexplained_losses([first, second, other], seen, FAULTS) == 1


def test_the_report_has_a_row_a_fault_and_names_what_is_wrong() -> None:
    told = [Aftermath(occurrence("producer killed", 25, 30), at(32), ("ids missing",), at(60), 120)]
    judgement = Judgement(
        BEGAN, at(120), ["binance BTC-USDT 03:00 incomplete"], {"incomplete": 1, "proven": 3}, [], 2,
        {"hole, verified": 1}, {}, 0,
    )  # fmt: skip
    left_out = {"disk full": "only root mounts a file system"}
    chaos = Chaos(7, 2, 100, BEGAN, at(120), 33, told, [], 0, judgement, left_out)
    lines = markdown(chaos, FAULTS, "picture.svg").splitlines()
    assert lines[0] == "# Chaos with seed 7: 2 minutes, 1 faults"
    assert lines[2] == (
        "**Not every promise held**: 1 of 4 minutes of bars wrong or not vouched for, 120 trades lost on the wire."
    )
    assert "| 1 | producer killed | process 7 | 25 s | 5 s | 7 s | ids missing | 30 s | 120 | 1 |" in lines
    assert "- left out: disk full (only root mounts a file system)" in lines
    assert lines[lines.index("## Wrong bars") + 2] == "- binance BTC-USDT 03:00 incomplete"


def test_the_picture_has_a_dark_bar_while_a_fault_lasted_and_a_light_one_until_it_was_repaired() -> None:
    told = [Aftermath(occurrence("producer killed", 30, 60), at(30), ("ids missing",), at(90), 120)]
    picture = timeline(told, BEGAN, at(120))
    assert '<rect x="415.0" y="26" width="450.0" height="9" fill="#f2c4a0"/>' in picture
    assert '<rect x="415.0" y="26" width="225.0" height="9" fill="#b3261e"/>' in picture
    assert "1. producer killed</text>" in picture
