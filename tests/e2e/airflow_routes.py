"""Run by Airflow's own Python, with the environment of a running API server: what that server answers to.

Prints JSON: the routes, each a method and a path with names in braces; tokens of users of less than all rights,
signed as Airflow signs them; and forged tokens of the admin, by what is wrong with them.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.configuration import conf
from fastapi.testclient import TestClient
from starlette.routing import Mount


def routes(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, Mount):
            # files of the pages are mounted too, and have no routes
            yield from routes(route.app, prefix + route.path) if hasattr(route.app, "routes") else ()
        else:
            yield from ((method, prefix + route.path) for method in route.methods)


def routes_of_tasks(app: Any) -> Iterator[tuple[str, str]]:
    """Those of the server's part for tasks, which makes its routes for each version of their protocol."""
    [part] = [route.app for route in app.routes if isinstance(route, Mount) and route.path == "/execution"]
    for version in part.router.versioned_routers:
        described = (
            TestClient(part).get("/openapi.json", params={"version": str(version)}).raise_for_status().json()
        )
        for path, methods in described["paths"].items():
            yield from ((method.upper(), f"/execution{path}") for method in methods)


def forged(token: str) -> dict[str, str]:
    """Of a token that Airflow signed: what nobody may get in with."""
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False}) | {"sub": "admin", "role": "admin"}
    key, algorithm = conf.get("api_auth", "jwt_secret"), header["alg"]
    hour_ago = int(time.time()) - 3600
    return {
        "no token at all": "not-a-token",
        "of another key": jwt.encode(claims, "k" * 64, algorithm, header),
        "without a signature": jwt.encode(claims, None, "none"),
        "of a past time": jwt.encode({**claims, "exp": hour_ago}, key, algorithm, header),
        "for another server": jwt.encode({**claims, "aud": "another"}, key, algorithm, header),
    }


if __name__ == "__main__":
    made = create_app()
    tokens = {
        role: get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=role, role=role))
        for role in ("viewer", "user")
    }
    told = {
        "routes": sorted({*routes(made), *routes_of_tasks(made)}),
        "tokens": tokens,
        "forged": forged(tokens["viewer"]),
    }
    print(json.dumps(told))  # noqa: T201 - it is read
