"""The error table."""

import ast
from pathlib import Path

import pytest

import userstream.sim
from userstream.sim.books import Refused
from userstream.sim.dialects.binance_futures_errors import CODES, VOCABULARY, refuse, translate

# Rules that only the control interface or the start can break, never a request.
NEVER_ASKED = {"unknown_account", "duplicate_account", "bad_rate", "only_contracts", "no_listen_keys"}


def rules_of_the_books() -> set[str]:
    folder = Path(userstream.sim.__path__[0])
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused" and node.args:
                match node.args[0]:
                    case ast.Constant(value=str() as rule):
                        found.add(rule)
    return found


def test_every_rule_of_the_books_has_a_code_of_the_venue() -> None:
    assert rules_of_the_books() - NEVER_ASKED <= set(CODES)


def test_every_code_has_a_text() -> None:
    assert set(CODES.values()) <= set(VOCABULARY.texts)


def test_an_unknown_order_has_another_code_when_it_is_cancelled() -> None:
    assert translate(Refused("unknown_order")).code == -2013
    assert translate(Refused("unknown_order"), unknown=-2011).code == -2011
    assert translate(Refused("never heard of")).code == -1000


@pytest.mark.parametrize(("code", "status"), [(-2014, 401), (-2015, 401), (-1022, 400), (-1121, 400), (-2019, 400)])
def test_the_status_follows_the_code(code: int, status: int) -> None:
    assert refuse(code).status == status
