"""What was told outlives the process: whole or not at all, for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from userstream.adapters.incident_file import IncidentFile
from userstream.domain.alerts import AlertKind, KeptIncident
from userstream.domain.words import PositionSide
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis, Symbol
from userstream.ports import IncidentKeeper

CALL = KeptIncident(
    kind=AlertKind.MARGIN_CALL,
    account=AccountId("чарли"),
    subject="",
    words="BTCUSDT long 1.327",
    since=Millis(1_790_000_000_000),
    times=3,
    legs=((Symbol("BTCUSDT"), PositionSide.LONG),),
)
DARK = KeptIncident(kind=AlertKind.ACCOUNT_DARK, account=AccountId("bob"), subject="", words="", since=Millis(1), times=1)


def test_what_is_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "desk.db.alerts"
    keeper: IncidentKeeper = IncidentFile(path)
    assert keeper.read() == ()
    keeper.write([CALL, DARK])
    assert IncidentFile(path).read() == (CALL, DARK)
    keeper.write([])
    assert IncidentFile(path).read() == ()
    assert [each.name for each in tmp_path.iterdir()] == ["desk.db.alerts"]


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_only_its_owner_can_read_it_whatever_stood_there_before(tmp_path: Path) -> None:
    path = tmp_path / "desk.db.alerts"
    for each in (path, tmp_path / "desk.db.alerts.new"):
        each.write_text("left over")
        each.chmod(0o644)
    IncidentFile(path).write([DARK])
    assert path.stat().st_mode & 0o777 == 0o600
    assert IncidentFile(path).read() == (DARK,)


@pytest.mark.parametrize("content", [b"", b"nonsense", b'{"form":1}', b'{"form":1,"incidents":[{"kind":"new_kind"}]}', b"\xff"])
def test_a_file_of_something_else_is_told_and_not_believed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "desk.db.alerts"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="it holds something else"):
        IncidentFile(path).read()


def test_another_form_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "desk.db.alerts"
    path.write_bytes(b'{"form":2,"incidents":[]}')
    assert IncidentFile(path).read() == ()


def test_where_nothing_can_be_written_it_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        IncidentFile(tmp_path / "nowhere" / "desk.db.alerts").write([CALL])
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        IncidentFile(tmp_path / "folder").read()
