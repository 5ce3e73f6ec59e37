"""pgAdmin's pages, used as a person uses them."""

import itertools
import json
from contextlib import suppress

import pytest
from model.browser import Page

PATH = ("Servers", "crypto pipeline", "Databases", "crypto_data", "Schemas", "public", "Tables")


def log_in(page: Page, url: str, password: str) -> None:
    page.open(url)
    page.fill("input[name=email]", "admin@example.com")
    page.fill("input[name=password]", password)
    page.press_enter()
    page.wait_for("!!document.querySelector('#id-object-explorer')", 120)


def show_rows(page: Page, table: str, holding: str) -> None:
    """Walks down the tree to the table, asks for its rows, and waits until one with a text is seen."""
    for node, child in itertools.pairwise((*PATH, table)):
        _open(page, node, child)
    page.click(_node(table))
    page.click("document.querySelector(\"button[aria-label='All Rows']:not(:disabled)\")")
    # each result has a frame of its own
    frames = "[...document.querySelectorAll('iframe')].map(frame => frame.contentDocument?.body?.innerText ?? '')"
    page.wait_for(f"{frames}.some(text => text.includes({json.dumps(holding)}))", 120)


def _open(page: Page, node: str, child: str) -> None:
    """An only child is opened with its parent, and a second time would close it: so it waits before it clicks."""
    for _ in range(12):
        with suppress(AssertionError):
            return page.wait_for(f"!!{_node(child)}", 10)
        page.click(_node(node), times=2)
    pytest.fail(f"pgAdmin shows no {child} in {node}")


def _node(label: str) -> str:
    """A script that finds a node of the tree."""
    return (
        "[...document.querySelectorAll('#id-object-explorer span')]"
        f".find(e => !e.children.length && e.textContent.trim() === {json.dumps(label)})"
    )
