"""The monitor's wiring, and what its mail looks like."""

from datetime import UTC, datetime
from typing import Any

import pytest

from crypto_pipeline.mail import render
from crypto_pipeline.monitor import causes


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any]) -> Any:
    return dags["crypto_pipeline_monitor_dag"]


def test_the_tasks_follow_one_another_and_tell_comes_last(dag: Any) -> None:
    assert {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} == {
        "stream": ["freshness", "gaps", "tell", "verify"],
        "freshness": ["gaps", "tell"],
        "gaps": ["fill"],
        "fill": ["verify"],
        "verify": ["tell"],
        "tell": [],
    }


def test_one_symbols_failure_stops_neither_the_others_nor_the_mail(dag: Any) -> None:
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert (rules["verify"], rules["gaps"]) == ("all_done", "all_done")
    assert rules["tell"] == "all_done_setup_success"  # there is no setup: all done


def test_every_task_has_its_own_tries_and_time(dag: Any) -> None:
    for task in dag.tasks:
        told = task.partial_kwargs if task.is_mapped else vars(task)
        assert (told["retries"] >= 1, told["execution_timeout"] is not None) == (True, True), task.task_id


def values(**changes: Any) -> dict[str, Any]:
    alert = {
        "news": "new", "about": "binance:BTC-USDT", "since": "2026-11-21 10:00:00 UTC", "lasted": "5 min",
        "closed": False, "lines": ["ids 1 to 2", "<script>alert(1)</script>"],
    }  # fmt: skip
    section = {"cause": causes.CAUSES[causes.GAP], "open": True, "alerts": [alert], "more": 3}
    return {
        "subject": "1 new: gap (binance:BTC-USDT)", "sections": [section], "notes": ["kucoin:X-Y: halted market."],
        "run_url": "http://airflow/dags/d/runs/r%2B1",
    } | changes  # fmt: skip


def test_a_mail_says_what_is_missing_what_to_do_and_where_to_look() -> None:
    subject, html, text = render("monitor/alerts", values())
    assert subject == "Crypto pipeline: 1 new: gap (binance:BTC-USDT)"
    cause = causes.CAUSES[causes.GAP]
    for part in (
        "binance:BTC-USDT",
        "2026-11-21 10:00:00 UTC",
        "ids 1 to 2",
        "And 3 more",
        "http://airflow/dags/d",
    ):
        assert part in html, part
        assert part in text, part
    for part in (cause.title, cause.meaning, cause.action, cause.query, "kucoin:X-Y: halted market."):
        assert part in text


def test_html_is_escaped_and_text_is_not() -> None:
    _, html, text = render("monitor/alerts", values())
    assert "<script>" not in html
    assert "<script>alert(1)</script>" in text


def test_each_cause_renders_opened_and_closed() -> None:
    alert = {"news": "over", "about": "a", "since": "s", "lasted": "2 h", "closed": True, "lines": []}
    for what in (*causes.CAUSES, "something nobody described"):
        section = {"cause": causes.cause_of(what), "open": False, "alerts": [alert], "more": 0}
        _, html, text = render("monitor/alerts", values(sections=[section], notes=[]))
        assert (": over" in html, "for 2 h" in text) == (True, True), what


def test_times_survive_the_way_between_tasks() -> None:
    from crypto_pipeline.monitor.freshness import Freshness, State

    one = Freshness("binance", "BTC-USDT", State.STALLED, 20, 10, datetime(2026, 1, 1, tzinfo=UTC), None)
    assert Freshness.from_json(one.as_json()) == one
