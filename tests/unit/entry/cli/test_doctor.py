"""`userstream doctor`: each finding has a subject, a verdict and words; only problems make the exit code 1."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.rights import as_nobody, need_readable_environment
from userstream.adapters.file_lock import FileLock
from userstream.adapters.sqlite_file import open_for_writing
from userstream.entry.cli import run_command
from userstream.entry.cli.doctor import judge_clock, sum_up
from userstream.entry.cli.findings import Finding
from userstream.kernel.errors import StoreError

Capture = pytest.CaptureFixture[str]
NOBODY = (
    '[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key = "canary"\nenabled = false\n'
    'rest_url = "http://127.0.0.1:9"\nws_url = "ws://127.0.0.1:9"\n'
)


def findings(capsys: Capture, tmp_path: Path, text: str, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    path = tmp_path / "userstream.toml"
    path.write_text(text)
    path.chmod(0o600)
    code = run_command(["doctor", "--json", "--config", str(path), *words])
    [line] = capsys.readouterr().out.splitlines()
    assert "canary" not in line
    return code, {found["subject"]: (found["verdict"], found["words"]) for found in json.loads(line)}


def test_a_store_that_is_not_there_yet_is_no_problem(tmp_path: Path, capsys: Capture) -> None:
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/new.db"\n' + NOBODY)
    assert (code, found["store"][0], found["configuration"][0]) == (0, "ok", "ok")
    assert not (tmp_path / "new.db").exists()


def test_a_store_of_ours_can_be_read(tmp_path: Path, capsys: Capture) -> None:
    open_for_writing(tmp_path / "ours.db").close()
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/ours.db"\n' + NOBODY)
    assert (code, found["store"][1].endswith("can be read")) == (0, True)


@pytest.mark.parametrize("more", ["", "[http]\nport = 0\n", "[registry]\n"])
def test_nothing_is_left_beside_a_store_that_was_looked_at(tmp_path: Path, capsys: Capture, more: str) -> None:
    path = tmp_path / "ours.db"
    open_for_writing(path).close()
    findings(capsys, tmp_path, f'[store]\npath = "{path}"\n{more}' + NOBODY)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["ours.db", "userstream.toml"]


def test_the_log_of_a_process_that_writes_stays(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "ours.db"
    with closing(open_for_writing(path)) as writing:
        writing.execute("CREATE TABLE more (one INTEGER)")
        findings(capsys, tmp_path, f'[store]\npath = "{path}"\n' + NOBODY)
        assert path.with_name("ours.db-wal").stat().st_size
        writing.execute("INSERT INTO more VALUES (1)")
        assert writing.execute("SELECT * FROM more").fetchall() == [(1,)]


def test_folders_and_files_that_cannot_hold_a_store(tmp_path: Path, capsys: Capture) -> None:
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/no/folder.db"\n' + NOBODY)
    assert (code, found["disk"][0], "does not exist" in found["disk"][1]) == (1, "problem", True)
    (tmp_path / "text.db").write_text("no database, but a text that somebody keeps\n" * 50)
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/text.db"\n' + NOBODY)
    assert (code, found["store"][0], "not a database" in found["store"][1]) == (1, "problem", True)


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_a_folder_in_which_no_store_can_be_begun_is_a_problem(capsys: Capture) -> None:
    with as_nobody() as folder:
        need_readable_environment()
        inner = folder / "inner"
        inner.mkdir(0o500)
        code, found = findings(capsys, folder, f'[store]\npath = "{inner}/new.db"\n' + NOBODY)
        assert (code, found["store rights"][0]) == (1, "problem")
        assert found["store rights"][1].startswith(f"nothing can be written in {inner} (permission denied): this user must")
        with pytest.raises(StoreError, match=r"unable to open database file: this user must be able to read and write the file and its"):
            open_for_writing(inner / "new.db")
        with pytest.raises(StoreError, match=r"new\.db\.lock: permission denied: this user must be able to write the file and its folder"):
            FileLock(inner / "new.db.lock").take()
        inner.chmod(0o700)
        code, found = findings(capsys, folder, f'[store]\npath = "{inner}/new.db"\n' + NOBODY)
        assert (code, found["store rights"]) == (0, ("ok", f"{inner} can be written")) and not list(inner.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_a_store_that_cannot_be_written_or_that_others_can_read_is_told(capsys: Capture) -> None:
    with as_nobody() as folder:
        need_readable_environment()
        path = folder / "ours.db"
        open_for_writing(path).close()
        text = f'[store]\npath = "{path}"\n' + NOBODY
        path.chmod(0o666)
        code, found = findings(capsys, folder, text)
        assert (code, found["store rights"][0]) == (0, "warning")
        assert f"(mode 0666), and it holds keys, tokens and the audit log: run chmod 600 {path}" in found["store rights"][1]
        path.chmod(0o400)
        code, found = findings(capsys, folder, text)
        assert (code, found["store rights"][0]) == (1, "problem")
        assert found["store rights"][1].startswith(f"{path} cannot be read and written: this user must")


def test_an_empty_file_is_a_store_that_begins(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty.db").touch(0o600)
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/empty.db"\n' + NOBODY)
    assert (code, found["store"]) == (0, ("ok", f"{tmp_path}/empty.db is empty: it will be filled"))


def test_a_store_that_is_damaged_behind_its_first_page_is_found(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "rot.db"
    open_for_writing(path).close()
    content = bytearray(path.read_bytes())
    for place in range(4_096, len(content), 7):
        content[place] ^= 0x55
    path.write_bytes(content)
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{path}"\n' + NOBODY)
    assert (code, found["store"][0]) == (1, "problem")
    assert "move it away" in found["store"][1]


def test_a_store_that_is_being_written_is_no_problem(tmp_path: Path, capsys: Capture) -> None:
    with closing(open_for_writing(tmp_path / "ours.db")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/ours.db"\n' + NOBODY)
    assert (code, found["store"][0]) == (0, "ok")


def test_an_address_where_nobody_is_tells_what_to_look_at(tmp_path: Path, capsys: Capture) -> None:
    code, found = findings(
        capsys, tmp_path, NOBODY.replace("enabled = false\n", "") + "[account.stream]\nfirst_delay_s = 0.1\n", "--patience", "0.3"
    )
    assert code == 1
    verdict, words = found["account alice"]
    assert verdict == "problem"
    assert "cannot reach http://127.0.0.1:9: connection refused" in words
    assert words.endswith("check rest_url, ws_url and the network")


def test_people_get_a_line_for_each_finding(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "userstream.toml"
    path.write_text("nonsense")
    assert run_command(["doctor", "--config", str(path)]) == 1
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith("problem  configuration: ") and last == "1 problem, 0 warnings"


@pytest.mark.parametrize(("offset_ms", "verdict"), [(0, "ok"), (-999, "ok"), (1_000, "warning"), (-5_000, "warning")])
def test_a_clock_that_is_far_off_is_told_with_what_to_do(offset_ms: int, verdict: str) -> None:
    found = judge_clock("alice", offset_ms)
    assert (found.subject, found.verdict) == ("account alice: clock", verdict)
    assert f"{offset_ms:+d} ms" in found.words and ("set this machine's clock" in found.words) == (verdict == "warning")


def test_the_last_line_sums_up() -> None:
    ok, warning, problem = (Finding("x", verdict, "") for verdict in ("ok", "warning", "problem"))
    assert sum_up([ok, ok]) == "everything is in order"
    assert sum_up([ok, warning, warning, problem, problem]) == "2 problems, 2 warnings"


def test_alerts_and_the_api_are_told_of(tmp_path: Path, capsys: Capture) -> None:
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/a.db"\n[http]\nport = 0\n' + NOBODY)
    assert code == 0 and found["http"] == (
        "warning", "http://127.0.0.1:0, and nobody has a token: make one with userstream tokens add NAME --role viewer"
    )  # fmt: skip
    assert found["alerts"][0] == "ok" and "nobody is told" in found["alerts"][1]
    assert not (tmp_path / "a.db").exists()
    code, found = findings(capsys, tmp_path, '[alerts]\nurls = ["json://canary@127.0.0.1"]\n' + NOBODY)
    assert found["alerts"] == ("ok", "1 address would be told; userstream alerts test tries them") and "http" not in found
    told = '[http]\nhost = "0.0.0.0"\nport = 0\nbehind_proxy = true\n'
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/a.db"\n' + told + NOBODY)
    assert (code, found["http"][0]) == (1, "problem")


def test_the_registry_without_accounts_makes_no_store(tmp_path: Path, capsys: Capture) -> None:
    code, found = findings(capsys, tmp_path, f'[store]\npath = "{tmp_path}/a.db"\n[registry]\n')
    assert code == 0 and found["registry"][1].startswith("no account yet; userstream accounts add")
    assert not (tmp_path / "a.db").exists()


def test_a_service_that_would_start_without_connections_is_told_of(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'[store]\npath = "{tmp_path}/new.db"\n' + NOBODY
    assert "connections" not in findings(capsys, tmp_path, text)[1]
    monkeypatch.setenv("WEBSOCKET_ENABLED", "false")
    code, found = findings(capsys, tmp_path, text)
    assert (code, found["connections"][0], "WEBSOCKET_ENABLED is false" in found["connections"][1]) == (0, "warning", True)
