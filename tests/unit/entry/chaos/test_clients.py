"""Which clients there are, and how a missing one is told."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from userstream.entry.chaos.clients import CLIENTS, OURS, Client, Found, find_clients, find_versions, start_program
from userstream.entry.chaos.products import PRODUCTS
from userstream.kernel.errors import SettingsError
from userstream.sim.settings import AccountListing, VenueListing

PLACE = VenueListing(rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9", ws_api_url="ws://127.0.0.1:9")
KEY = AccountListing(account="a", venue="binance-usdm", api_key="key", api_secret="secret", passphrase="")


def test_every_client_has_a_program() -> None:
    for client in CLIENTS:
        assert importlib.util.find_spec(f"userstream.entry.chaos.programs.{client.program}") is not None
        assert set(client.speaks) <= set(PRODUCTS)
        assert bool(client.elsewhere) == (set(client.speaks) != set(PRODUCTS)), "a product that is left out has its reason"
    assert find_clients()[0].name == OURS


def test_names_are_checked_and_the_nearest_is_told() -> None:
    assert [client.name for client in find_clients(["ccxt", OURS])] == [OURS, "ccxt"]
    with pytest.raises(SettingsError, match="did you mean 'ccxt'"):
        find_clients(["cctx"])


async def test_a_package_that_is_not_there_has_no_version() -> None:
    absent = Client(name="absent", package="no-such-package-at-all", program="none", note="")
    own, other = await find_versions((*find_clients([OURS]), absent), sys.executable)
    assert (own.version, own.python) == (version("userstream"), sys.executable)
    assert other == Found(client=absent, version=None, python=sys.executable)


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/true", "/bin/ls"])
async def test_what_is_no_python_is_told_in_one_line(python: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError, match=python):
        await find_versions(find_clients(["ccxt"]), python)
    assert capfd.readouterr() == ("", "")


async def test_a_program_without_its_client_ends_with_its_reason() -> None:
    found = Found(client=Client(name="x", package="x", program="python_binance", note=""), version="1", python=sys.executable)
    process = await start_program(found, PLACE, KEY, work_ms=0, life_s=60)
    _, errors = await process.communicate()
    assert process.returncode
    assert b"binance" in errors.splitlines()[-1]
    assert b"secret" not in errors


def test_programs_find_one_another_below_their_folder() -> None:
    folder = Path(importlib.util.find_spec("userstream.entry.chaos").origin or "").parent  # type: ignore[union-attr]
    assert (folder / "programs" / "__init__.py").is_file()
