"""The reference pages tell of everything that there is, as it is in the source."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

import pytest

import userstream
from tests.support.reference import HELD, PAGES, REFERENCE, configuration_fields, exported, filled_page, members_of
from userstream.entry.paper import PaperExchange
from userstream.runtime.live import LiveAccount
from userstream.runtime.sync_account import SyncAccount
from userstream.runtime.views import BalancesView, FillsView, Health, OrdersView, PositionsView
from userstream.sim.actions import ACTIONS

HOW = "the page is old: run `python -m tests.support.reference`"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def entry_of(name: str) -> str:
    """What library.md says below the heading of a name."""
    [found] = re.findall(rf"^### {re.escape(name)}\n(.*?)(?=^###? |\Z)", page("library.md"), flags=re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_are_those_of_the_source(name: str) -> None:
    assert filled_page(page(name), PAGES[name]()) == page(name), HOW


def test_every_public_name_is_in_the_library_reference() -> None:
    told = page("library.md")
    assert [
        name for name in exported() if f"### {name}\n" not in told and f"`{name}(" not in told and f"`userstream.{name}`" not in told
    ] == []


@pytest.mark.parametrize(
    "kind",
    [LiveAccount, SyncAccount, OrdersView, PositionsView, BalancesView, FillsView, userstream.Fleet, PaperExchange],
    ids=lambda kind: kind.__name__,
)
def test_every_public_method_is_in_the_library_reference_and_says_what_it_promises(kind: type) -> None:
    told = entry_of(kind.__name__)
    names = [name for name in vars(kind) if not name.startswith("_")]
    assert names
    assert [name for name in names if not re.search(rf"^\| `(?:await )?{name}[(:]", told, flags=re.MULTILINE)] == []
    assert re.findall(r"^\| `.*` \| *\|$", told, flags=re.MULTILINE) == []


def test_what_every_account_holds_and_every_field_of_health_is_explained() -> None:
    explained_in("LiveAccount", ("orders", "positions", "balances", "fills", "health"))
    explained_in("Health", Health.__struct_fields__)


def explained_in(entry: str, names: Iterable[str]) -> None:
    told = entry_of(entry)
    assert [name for name in names if not re.search(rf"\b{name}\b", told)] == []


def test_every_public_member_says_what_it_promises_where_it_is_written() -> None:
    kinds = {*HELD, *(thing for thing in exported().values() if isinstance(thing, type) and not issubclass(thing, enum.Enum))}
    silent = [f"{kind.__name__}.{name}" for kind in kinds for name, member in members_of(kind) if not member.__doc__]
    assert sorted(silent) == []


def test_every_action_has_its_entry() -> None:
    assert re.findall(r"^### `(\w+)`$", page("paper-exchange.md"), flags=re.MULTILINE) == list(ACTIONS)


@pytest.mark.parametrize("section", configuration_fields())
def test_every_field_of_the_configuration_has_its_meaning_and_its_default(section: str) -> None:
    [body] = re.findall(rf"^## `\[+{section}\]+`\n(.*?)(?=^## |\Z)", page("configuration.md"), flags=re.MULTILINE | re.DOTALL)
    rows = {
        name: (default, meaning) for name, default, meaning in re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", body, flags=re.MULTILINE)
    }
    fields = configuration_fields()[section]
    assert list(rows) == list(fields)
    assert {name: default.strip("`") for name, (default, _) in rows.items()} == fields
    assert all(len(meaning.split()) > 1 for _, meaning in rows.values())


def test_a_page_is_filled_between_its_marks_and_nowhere_else() -> None:
    before = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert filled_page(before, {"x": "new\n\n\n\nlines\n"}) == "a\n<!-- x -->\n\nnew\n\nlines\n\n<!-- /x -->\nb\n"
    with pytest.raises(ValueError, match="no place for"):
        filled_page("nothing", {"x": "new"})
    with pytest.raises(KeyError):
        filled_page(before, {})
