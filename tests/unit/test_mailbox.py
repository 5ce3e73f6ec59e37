"""The mailbox: what is sent to it can be read, by people and by programs, also after a restart."""

import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from aiosmtpd.smtp import Envelope

from local import mailbox
from local.mailbox import Mailbox
from local.ports import free_port

HTML = '<p>a loss of <b>5</b> trades</p><script>document.title = "taken"</script>'


@pytest.fixture
def box(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "mails")


def a_mail(subject: str = "Lücke in BTC-USDT & <others>") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "airflow@example.org"
    message["To"] = "ops@example.org"
    message["Subject"] = subject
    message.set_content("a loss of 5 trades · see below\n")
    message.add_alternative(HTML, subtype="html")
    return message


def envelope(message: EmailMessage) -> Envelope:
    sent = Envelope()
    sent.content = message.as_bytes()
    sent.rcpt_tos = ["ops@example.org", "night@example.org"]
    return sent


def test_a_mail_is_read_back_as_it_was_sent(box: Mailbox) -> None:
    assert box.keep(envelope(a_mail())) == 1
    kept = box.mail(1)
    assert (kept.number, kept.sender, kept.to, kept.subject, kept.text, kept.html) == (
        1,
        "airflow@example.org",
        ("ops@example.org", "night@example.org"),
        "Lücke in BTC-USDT & <others>",
        "a loss of 5 trades · see below\n",
        HTML + "\n",
    )


def test_numbers_go_on_after_a_restart(box: Mailbox, tmp_path: Path) -> None:
    box.keep(envelope(a_mail("first")))
    again = Mailbox(tmp_path / "mails")
    assert again.keep(envelope(a_mail("second"))) == 2
    assert [again.mail(number).subject for number in again.numbers()] == ["second", "first"]


def test_the_oldest_mails_go_when_there_are_too_many(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "KEPT_MAILS", 3)
    for _ in range(5):
        box.keep(envelope(a_mail()))
    assert box.numbers() == [5, 4, 3]


def test_a_mail_without_parts_is_text(box: Mailbox) -> None:
    plain = EmailMessage()
    plain["From"], plain["Subject"] = "cron@example.org", "plain"
    plain.set_content("only text\n")
    box.keep(envelope(plain))
    assert (box.mail(1).text, box.mail(1).html) == ("only text\n", "")


def test_no_mail_is_no_error(box: Mailbox) -> None:
    assert box.numbers() == []
    box.clear()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The real server: the address of its pages, and its SMTP port."""
    port, smtp_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "local.mailbox", str(tmp_path / "mails")]
    server = subprocess.Popen([*command, "--port", str(port), "--smtp-port", str(smtp_port)])
    try:
        deadline = time.monotonic() + 15
        while not answers(url):
            assert server.poll() is None
            assert time.monotonic() < deadline
        yield url, smtp_port
    finally:
        server.terminate()
        assert server.wait(10) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


def test_it_shows_what_it_is_sent(served: tuple[str, int]) -> None:
    url, smtp_port = served
    assert "No mail yet" in httpx.get(url).text
    with smtplib.SMTP("127.0.0.1", smtp_port) as client:
        client.send_message(a_mail())

    listed = httpx.get(f"{url}/api/mails").json()
    assert [(mail["number"], mail["to"], mail["subject"]) for mail in listed] == [
        (1, ["ops@example.org"], "Lücke in BTC-USDT & <others>")
    ]
    assert httpx.get(f"{url}/api/mails/1").json()["text"].rstrip() == "a loss of 5 trades · see below"
    assert '<a href="/mails/1">Lücke in BTC-USDT &amp; &lt;others&gt;</a>' in httpx.get(url).text

    page = httpx.get(f"{url}/mails/1").text
    assert "<iframe sandbox srcdoc=" in page
    assert "<script>" not in page  # nothing of a mail runs in the mailbox's own page

    assert httpx.get(f"{url}/api/mails/2").status_code == 404
    assert httpx.delete(f"{url}/api/mails").status_code == 204
    assert httpx.get(f"{url}/api/mails").json() == []
