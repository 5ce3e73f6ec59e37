"""What pgAdmin is given at its first start: the server, and how to log in there.

https://www.pgadmin.org/docs/pgadmin4/9.18/import_export_servers.html
"""

import json

from psycopg2.extensions import parse_dsn


def servers(dsn: str) -> str:
    """The list of servers: the one of the DSN, whose password lies in a file beside it."""
    known = parse_dsn(dsn)
    server = {
        "Name": "crypto pipeline",
        "Group": "Servers",
        "Host": known["host"],
        "Port": int(known.get("port", 5432)),
        "MaintenanceDB": known["dbname"],
        "Username": known["user"],
        "DBRestriction": known["dbname"],
        "DBRestrictionType": "databases",
        "ConnectionParameters": {"sslmode": known.get("sslmode", "prefer"), "passfile": "/.pgpass"},
        "Comment": "Reads all and changes nothing. Saved queries: Query Tool, Open File, storage queries.",
    }
    return json.dumps({"Servers": {"1": server}}, indent=1)


def pgpass(dsn: str) -> str:
    """The password as libpq's file of passwords holds it."""
    known = parse_dsn(dsn)
    fields = (known["host"], known.get("port", "5432"), "*", known["user"], known["password"])
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields) + "\n"
