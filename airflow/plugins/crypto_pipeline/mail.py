"""Mails of two parts, HTML and text, and the mail about a failed task.

Its templates lie beside what sends it: `monitor/alerts` is monitor/templates/alerts.subject, alerts.html and
alerts.txt, and `task_failed` is templates/task_failed.subject and so on.

The connection says who sends and who is told: `from_email` and `to_email` (addresses with commas) in its extra.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from email.mime.text import MIMEText
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jinja2
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context
    from psycopg2.extensions import connection

SMTP_CONN_ID = "smtp_default"
SUBJECT_LENGTH = 150

_PACKAGE = Path(__file__).parent
_MAILING_LOCK = 4712
_NO_EXCEPTION = "ended from outside: by a person who marked it, or its process was killed"


def render(template: str, values: Mapping[str, Any]) -> tuple[str, str, str]:
    """Subject, HTML and text of a mail.

    Raises jinja2.TemplateError, also where a template asks for a value that is not given.
    """
    files = _PACKAGE / template
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(files.parent / "templates"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    subject, html, text = (
        environment.get_template(f"{files.name}.{kind}").render(values) for kind in ("subject", "html", "txt")
    )
    subject = " ".join(subject.split())  # a header is one line
    return subject[:SUBJECT_LENGTH], html, text


def send(subject: str, html: str, text: str, smtp_conn_id: str = SMTP_CONN_ID) -> None:
    """Sends a mail to whom the connection names. Raises smtplib.SMTPException or OSError when it can't be sent."""
    mailer = TwoPartHook(smtp_conn_id)
    mailer.text = text
    with mailer as hook:
        hook.send_email_smtp(
            to=str(hook.conn.extra_dejson["to_email"]),
            subject=subject,
            html_content=html,
            mime_subtype="alternative",
        )


@contextmanager
def mailing(db: "connection") -> Iterator[None]:
    """Only one task at a time collects and sends, so that nothing is told twice."""
    with db, db.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", (_MAILING_LOCK,))
    try:
        yield
    finally:
        with db, db.cursor() as cursor:
            cursor.execute("select pg_advisory_unlock(%s)", (_MAILING_LOCK,))


class TwoPartHook(SmtpHook):
    """Airflow's hook sends HTML alone; this one puts `text` before it, for programs that show no HTML."""

    text = ""

    def _build_mime_message(self, *args: Any, **kwargs: Any) -> Any:
        message, recipients = super()._build_mime_message(*args, **kwargs)
        cast(list[Message], message.get_payload()).insert(0, MIMEText(self.text, "plain", "utf-8"))
        return message, recipients


class FailedTaskNotifier(SmtpNotifier):
    """The callback of every task that fails: what failed, why, and where its log is.

    As `on_retry_callback` it leaves out what an exception calls not `worth_a_mail`.
    """

    def __init__(self, smtp_conn_id: str = SMTP_CONN_ID) -> None:
        super().__init__(
            to="{{ conn." + smtp_conn_id + ".extra_dejson['to_email'] }}",
            smtp_conn_id=smtp_conn_id,
            mime_subtype="alternative",
        )

    @cached_property
    def hook(self) -> TwoPartHook:
        return TwoPartHook(self.smtp_conn_id)

    def notify(self, context: "Context") -> None:
        if getattr(context.get("exception"), "worth_a_mail", True):
            super().notify(context)

    def _build_email_content(self, smtp: SmtpHook, context: "Context") -> None:
        self.from_email = smtp.from_email
        self.subject, self.html_content, cast(TwoPartHook, smtp).text = render("task_failed", failed_task(context))


def failed_task(context: "Context") -> dict[str, Any]:
    """The values of the templates `task_failed`."""
    ti, exception = context["ti"], context.get("exception")
    why = str(exception or "").strip() or (_NO_EXCEPTION if exception is None else type(exception).__name__)
    return {
        "dag_id": ti.dag_id,
        "task_id": ti.task_id,
        "label": getattr(ti, "rendered_map_index", None) or ("" if ti.map_index in (None, -1) else ti.map_index),
        "run_id": ti.run_id,
        "try_number": ti.try_number,
        "retry_in_s": getattr(exception, "retry_in_s", None),
        "reason": why.splitlines()[0],
        "details": "\n".join(why.splitlines()[1:]),
        "log_url": ti.log_url,
    }
