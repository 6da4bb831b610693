"""The table [alerts]: whom to tell, in three ways, and no address in any complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from userstream.domain.alerts import AlertRules
from userstream.entry.alert_settings import MOST_URLS, AlertsSection, rules_of, split_urls
from userstream.entry.configuration import read_alerts, read_configuration
from userstream.kernel.errors import SettingsError

CANARY = "json://127.0.0.1/Can4ryTok3n"
ACCOUNT = '[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key_env = "KEY"\n'


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "userstream.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_nobody_is_told_unless_somebody_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, ACCOUNT)
    assert read_configuration(path, {"KEY": "k"}).alerts is None
    with pytest.raises(SettingsError, match=r"there is no table \[alerts\]"):
        read_alerts(path)


def test_addresses_of_the_file_the_environment_or_another_file(tmp_path: Path) -> None:
    inline = read_configuration(write(tmp_path, f'[alerts]\nurls = ["{CANARY}"]\n{ACCOUNT}'), {"KEY": "k"}).alerts
    assert inline is not None and [url.reveal() for url in inline.urls] == [CANARY]
    from_environment = read_alerts(write(tmp_path, '[alerts]\nurls_env = "URLS"\n'), {"URLS": f"{CANARY}/1 {CANARY}/2"})
    assert [url.reveal() for url in from_environment.urls] == [f"{CANARY}/1", f"{CANARY}/2"]
    secret = tmp_path / "alerts.urls"
    secret.write_text(f"# the desk's channel\n{CANARY}\n\nmailto://a:b@example.com?to=x,y\n")
    secret.chmod(0o600)
    from_file = read_alerts(write(tmp_path, '[alerts]\nurls_file = "alerts.urls"\n', 0o644), {})
    assert [url.reveal() for url in from_file.urls] == [CANARY, "mailto://a:b@example.com?to=x,y"]
    assert CANARY not in repr(inline) + repr(from_file)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("[alerts]\n", 0o600, "[alerts] has no urls; give urls_env, urls_file or urls"),
        ('[alerts]\nurls = [" "]\n', 0o600, "[alerts] has no urls"),
        (f'[alerts]\nurls = ["{CANARY}"]\n', 0o644, "can be read by others (mode 0644), and it holds the urls of [alerts]"),
        (f'[alerts]\nurls = "{CANARY}"\n', 0o600, "[alerts] urls must be a list"),
        (f'[alerts]\nurls = ["{CANARY}"]\nurls_env = "URLS"\n', 0o600, "gives urls in more than one way"),
        ('[alerts]\nurls_env = "URLS"\n', 0o600, "the environment variable URLS, which is not set"),
        ('[alerts]\nurls_file = "nowhere"\n', 0o600, "names as urls_file"),
        (f"[alerts]\nurls = {[CANARY] * (MOST_URLS + 1)}\n", 0o600, f"{MOST_URLS} at most"),
        ("[alerts]\ndark_after = 3\n", 0o600, "did you mean 'dark_after_s'"),
        ("[alerts]\ndark_after_s = -1\n", 0o600, "dark_after_s = -1"),
        ("[alerts]\ncalm_s = 0\n", 0o600, "calm_s = 0"),
        ("[alerts]\ntime_limit_s = 0\n", 0o600, "time_limit_s = 0"),
        ("[[alerts]]\n", 0o600, "[alerts] must be a table"),
    ],
)
def test_each_mistake_is_told_without_an_address(tmp_path: Path, text: str, mode: int, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_alerts(write(tmp_path, text, mode), {})
    assert words in str(caught.value) and CANARY not in str(caught.value)


def test_the_defaults_are_those_of_the_rules() -> None:
    assert rules_of(AlertsSection()) == AlertRules()
    assert rules_of(AlertsSection(dark_after_s=1.5)).dark_after_ms == 1_500
    assert CANARY not in repr(AlertsSection(urls=(CANARY,)))


def test_addresses_are_told_apart_by_blanks_and_lines() -> None:
    assert split_urls("a://b c://d,e\n  # f://g\nh://i\n\n") == ("a://b", "c://d,e", "h://i")
