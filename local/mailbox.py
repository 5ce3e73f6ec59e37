"""`python -m local.mailbox`: a mail server that keeps what it is sent, and shows it in a browser.

It delivers nothing. Web pages: `/` lists the mails, `/mails/N` shows one. For programs: `GET /api/mails` (newest
first, without bodies), `GET /api/mails/N`, `DELETE /api/mails`. Mails are files of a folder, so
a restart keeps them.
"""

import argparse
import asyncio
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
KEPT_MAILS = 1000


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it came. number: grows with each mail. received_at: UTC, ISO 8601. to: of the envelope."""

    number: int
    received_at: str
    sender: str
    to: tuple[str, ...]
    subject: str
    text: str
    html: str


class Mailbox:
    """The mails of a folder, one file each: two lines of envelope as headers, then the mail's own bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, envelope: Envelope) -> int:
        """Stores a mail and returns its number; the oldest ones go when there are too many."""
        self._folder.mkdir(parents=True, exist_ok=True)
        numbers = self.numbers()
        number = max(numbers, default=0) + 1
        received_at = datetime.now(UTC).isoformat(timespec="seconds")
        head = f"X-Received-At: {received_at}\r\nDelivered-To: {', '.join(envelope.rcpt_tos)}\r\n"
        unfinished = self._folder / "unfinished"
        unfinished.write_bytes(head.encode() + cast(bytes, envelope.content))
        unfinished.replace(self._path(number))
        for old in sorted(numbers)[: len(numbers) + 1 - KEPT_MAILS]:
            self._path(old).unlink()
        return number

    def numbers(self) -> list[int]:
        """Of all mails, newest first."""
        return sorted((int(path.stem) for path in self._folder.glob("*.eml")), reverse=True)

    def mail(self, number: int) -> Mail:
        """One mail. Raises FileNotFoundError."""
        message = message_from_bytes(self._path(number).read_bytes(), policy=policy.default)
        return Mail(
            number,
            str(message["X-Received-At"]),
            str(message["From"]),
            tuple(str(message["Delivered-To"]).split(", ")),
            str(message["Subject"]),
            _body(message, "plain"),
            _body(message, "html"),
        )

    def clear(self) -> None:
        for number in self.numbers():
            self._path(number).unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.eml"


def application(mailbox: Mailbox) -> web.Application:
    """The pages and the API over a mailbox."""

    async def list_page(request: web.Request) -> web.Response:
        mails = [mailbox.mail(number) for number in mailbox.numbers()]
        rows = "".join(
            f"<tr><td>{escape(mail.received_at)}<td>{escape(', '.join(mail.to))}"
            f'<td><a href="/mails/{mail.number}">{escape(mail.subject)}</a>'
            for mail in mails
        )
        table = f"<table><tr><th>Received (UTC)<th>To<th>Subject{rows}</table>" if mails else "<p>No mail yet.</p>"
        return _page("Mailbox", f'<meta http-equiv="refresh" content="10"><h1>Mailbox</h1>{table}')

    async def mail_page(request: web.Request) -> web.Response:
        mail = _find(request)
        # a mail's HTML is a stranger's: without scripts, and without this page's origin
        shown = (
            f'<iframe sandbox srcdoc="{escape(mail.html)}"></iframe>'
            if mail.html
            else f"<pre>{escape(mail.text)}</pre>"
        )
        return _page(
            mail.subject,
            f'<p><a href="/">All mails</a></p><h1>{escape(mail.subject)}</h1><p>{escape(mail.received_at)}, from '
            f"{escape(mail.sender)} to {escape(', '.join(mail.to))}</p>{shown}"
            f"<details><summary>Text part</summary><pre>{escape(mail.text)}</pre></details>",
        )

    async def list_mails(request: web.Request) -> web.Response:
        return web.json_response([_without_bodies(mailbox.mail(number)) for number in mailbox.numbers()])

    async def one_mail(request: web.Request) -> web.Response:
        return web.json_response(asdict(_find(request)))

    async def clear(request: web.Request) -> web.Response:
        mailbox.clear()
        return web.Response(status=204)

    def _find(request: web.Request) -> Mail:
        try:
            return mailbox.mail(int(request.match_info["number"]))
        except FileNotFoundError as error:
            raise web.HTTPNotFound(text=f"there is no mail {request.match_info['number']}") from error

    app = web.Application()
    app.add_routes(
        [
            web.get("/", list_page),
            web.get(r"/mails/{number:\d+}", mail_page),
            web.get("/api/mails", list_mails),
            web.get(r"/api/mails/{number:\d+}", one_mail),
            web.delete("/api/mails", clear),
        ]
    )
    return app


async def serve(folder: Path, port: int, smtp_port: int) -> None:
    """Until SIGTERM or SIGINT. port: of the pages. Raises OSError where a port is taken."""
    loop = asyncio.get_running_loop()
    mailbox = Mailbox(folder)
    server = await loop.create_server(lambda: SMTP(_Handler(mailbox), enable_SMTPUTF8=True), HOST, smtp_port)
    runner = web.AppRunner(application(mailbox), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    server.close()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.mailbox", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the mails are kept")
    parser.add_argument("--port", type=int, default=8025, help="of the pages")
    parser.add_argument("--smtp-port", type=int, default=1025, help="of the mail server")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.folder, arguments.port, arguments.smtp_port))


class _Handler:
    """What aiosmtpd calls for each mail; the name of the method is its."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return f"250 kept as {self._mailbox.keep(envelope)}"


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content())


def _without_bodies(mail: Mail) -> Mapping[str, Any]:
    fields = asdict(mail)
    del fields["text"], fields["html"]
    return fields


def _page(title: str, body: str) -> web.Response:
    return web.Response(
        text=f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>{body}",
        content_type="text/html",
    )


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }
h1 { font-size: 1.3em } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .4em .8em; border-bottom: 1px solid #ddd; vertical-align: top }
td:first-child { white-space: nowrap } iframe { width: 100%; height: 70vh; border: 1px solid #ddd }
pre { white-space: pre-wrap }
"""


if __name__ == "__main__":
    main()
