"""The registry in memory keeps what it promises in tests/contract/test_registry.py; here: what it says."""

from __future__ import annotations

from userstream.adapters.memory_registry import missing, outrun, taken
from userstream.kernel.ids import AccountId


def test_its_complaints_name_the_account_and_what_to_do() -> None:
    name = AccountId("alice")
    assert str(taken(name)) == "there is an account 'alice' in the registry already: choose another name, or remove that one"
    assert "userstream accounts list" in str(missing(name))
    assert "try again" in str(outrun(name))
