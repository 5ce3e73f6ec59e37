"""The mail about a failed task."""

from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from crypto_pipeline.mail import FailedTaskNotifier, TwoPartHook, failed_task, render
from crypto_pipeline.submit.retry import SparkDriverDied


def context(exception: object, **more: Any) -> Any:
    ti = SimpleNamespace(
        dag_id="a_dag",
        task_id="a_task",
        run_id="manual__1",
        try_number=2,
        map_index=-1,
        log_url="http://localhost:8081/dags/a_dag/runs/manual__1/tasks/a_task?try_number=2",
    )
    vars(ti).update(more)
    return {"ti": ti, "exception": exception}


def test_it_names_task_reason_and_log() -> None:
    died = SparkDriverDied("driver-1 ended: FAILED\nTraceback <most recent>\nValueError: a & b", 40)
    subject, html, text = render("task_failed", failed_task(context(died)))
    assert subject == "a_dag: a_task: driver-1 ended: FAILED"
    assert text == (
        "a_dag: a_task, try 2 of run manual__1\n\ndriver-1 ended: FAILED\nIt is tried again in 40 s.\n\n"
        "Traceback <most recent>\nValueError: a & b\n\n"
        "Log: http://localhost:8081/dags/a_dag/runs/manual__1/tasks/a_task?try_number=2\n"
        "What it means and what to do is in the documentation of the DAG, on its page in Airflow."
    )
    assert "Traceback &lt;most recent&gt;\nValueError: a &amp; b</pre>" in html
    assert '<a href="http://localhost:8081/dags/a_dag/runs/manual__1/tasks/a_task?try_number=2">' in html


def test_a_mapped_task_is_named_by_its_label() -> None:
    subject, _, _ = render("task_failed", failed_task(context("no", map_index=3, rendered_map_index="BTC-USDT")))
    assert subject == "a_dag: a_task (BTC-USDT): no"
    subject, _, _ = render("task_failed", failed_task(context("no", map_index=3)))
    assert subject == "a_dag: a_task (3): no"


def test_an_exception_without_words_is_named_by_its_type() -> None:
    assert failed_task(context(KeyError()))["reason"] == "KeyError"


def test_what_ended_without_an_exception_was_ended_from_outside() -> None:
    assert failed_task(context(None))["reason"].startswith("ended from outside: by a person")


def test_a_subject_is_one_line_of_bounded_length() -> None:
    subject, _, _ = render("task_failed", failed_task(context("x" * 900, rendered_map_index="a\r\nb")))
    assert subject == f"a_dag: a_task (a b): {'x' * 900}"[:150]


def test_a_template_that_asks_for_what_is_not_given_fails() -> None:
    with pytest.raises(jinja2.UndefinedError, match="dag_id"):
        render("task_failed", {})


def test_a_mail_has_a_text_part_before_its_html() -> None:
    hook = TwoPartHook("smtp_default")
    hook.text = "words"
    message, recipients = hook._build_mime_message(
        mail_from="a@example.org",
        to="b@example.org, c@example.org",
        subject="s",
        html_content="<p>words</p>",
        mime_subtype="alternative",
    )
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.get_payload()] == ["text/plain", "text/html"]
    assert recipients == ["b@example.org", "c@example.org"]


def test_a_death_that_is_not_worth_a_mail_sends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr(
        "airflow.providers.smtp.notifications.smtp.SmtpNotifier.notify", lambda self, c: sent.append(c)
    )
    notifier = FailedTaskNotifier()
    notifier.notify(context(SparkDriverDied("died", worth_a_mail=False)))
    assert sent == []
    notifier.notify(context(SparkDriverDied("died")))
    notifier.notify(context(ValueError("a bug")))
    assert len(sent) == 2
