"""Mails of the audit: where bars and candles differ, and the certificates of days.

What could not be mailed stays untold, and goes out with the next run.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crypto_pipeline.mail import mailing, render
from crypto_pipeline.statements import rows

if TYPE_CHECKING:
    from psycopg2.extensions import connection

Send = Callable[[str, str, str], None]  # subject, HTML, text

SHOWN = 100  # differences in a mail; the table has them all


def tell_differences(db: "connection", send: Send, run_url: str) -> int:
    """One mail of all differences whose state no mail has told of; how many. Raises what `send` raises."""
    with mailing(db):
        found = rows(db, "audit/untold_differences")
        if found:
            send(*render("audit/differences", difference_values(found, run_url)))
            rows(db, "audit/tell_differences", through=max(difference.changed_at for difference in found))
    return len(found)


def difference_values(found: list[Any], run_url: str) -> dict[str, Any]:
    """The values of the templates `audit/differences`."""
    standing = [difference for difference in found if difference.state == "stands"]
    return {
        "shown": found[:SHOWN],
        "count": len(found),
        "standing": len(standing),
        "minutes": len({(d.exchange, d.symbol, d.window_start) for d in found}),
        "symbols": sorted({f"{d.exchange}:{d.symbol}" for d in found}),
        "run_url": run_url,
    }


def tell_certificates(db: "connection", send: Send, run_url: str) -> int:
    """A mail a certificate that no mail has told of as it is; how many. Raises what `send` raises."""
    with mailing(db):
        found = rows(db, "audit/untold_certificates")
        for certificate in found:
            send(*render("audit/certificate", {"certificate": certificate, "run_url": run_url}))
            rows(
                db,
                "audit/tell_certificate",
                exchange=certificate.exchange,
                symbol=certificate.symbol,
                day=certificate.day,
                issued_at=certificate.issued_at,
            )
    return len(found)
