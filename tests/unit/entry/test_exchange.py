"""A command's paper exchange: what is told when its script or its port cannot be had."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from userstream.entry.exchange import load_faults, open_exchange
from userstream.kernel.errors import SettingsError
from userstream.sim.server import Listing, PaperExchangeServer
from userstream.sim.settings import SimulatorSettings


class Refused(PaperExchangeServer):
    """An exchange on a machine that does not let it begin."""

    def __init__(self, number: int) -> None:
        super().__init__(SimulatorSettings(port=80))
        self._number = number

    async def start(self) -> Listing:
        raise OSError(self._number, "error while attempting to bind")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EADDRNOTAVAIL])
async def test_a_port_that_this_user_may_not_open_is_named(number: int) -> None:
    with pytest.raises(SettingsError, match=r"port 80 cannot be opened: .*; choose another one, or 0 for a free one"):
        async with open_exchange(Refused(number)):
            pass


async def test_files_that_have_run_out_are_no_matter_of_the_port() -> None:
    with pytest.raises(OSError, match="bind"):
        async with open_exchange(Refused(errno.EMFILE)):
            pass


async def test_a_port_in_use_is_named_and_an_exchange_ends_with_its_block() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} on 127.0.0.1 is in use"):
            async with open_exchange(PaperExchangeServer(SimulatorSettings(port=port))):
                pass
    async with open_exchange(PaperExchangeServer(SimulatorSettings(port=port))) as server:
        assert server.listing.control_url.startswith(f"http://127.0.0.1:{port}")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "neither JSON"),
        ("5", "a script is a list of steps"),
        ("[5]", "script step 1: 5 must be an object with an action and a time"),
        ('[{"every_s": 5, "action": "cutt"}]', "cutt"),
        ("[" * 100_000, "no script"),
    ],
)
def test_a_script_that_cannot_be_is_told_with_its_file(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=reason) as caught:
        load_faults(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_script_that_is_right_or_not_given(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"every_s": 5, "action": "cut"}]')
    script = load_faults(path)
    assert script is not None
    assert len(script.steps) == 1
    assert load_faults(None) is None
    with pytest.raises(SettingsError, match=r"absent\.json cannot be read"):
        load_faults(tmp_path / "absent.json")
