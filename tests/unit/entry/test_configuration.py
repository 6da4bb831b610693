"""The configuration file: what is right, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from userstream.entry.configuration import Configuration, ManagerSection, read_configuration
from userstream.kernel.errors import SettingsError

ACCOUNT = '[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key_env = "KEY"\n'
SPOT = ACCOUNT.replace("binance-usdm", "binance-spot")
ENVIRONMENT = {"KEY": "the-key", "SECRET": "the-secret"}


def read(tmp_path: Path, text: str, mode: int = 0o600, environment: dict[str, str] = ENVIRONMENT) -> Configuration:
    path = tmp_path / "userstream.toml"
    path.write_text(text)
    path.chmod(mode)
    return read_configuration(path, environment)


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    configuration = read(tmp_path, ACCOUNT)
    assert [account.name for account in configuration.accounts] == ["alice"]
    assert configuration.stream_only == ("alice",)
    assert configuration.store.path == "userstream.db"
    assert configuration.websocket_enabled


def test_two_tables_cannot_name_one_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[http\] and \[metrics\] name the same place, 127\.0\.0\.1:18495"):
        read(tmp_path, f'[http]\nport = 18495\n[metrics]\nlisten = "127.0.0.1:18495"\n{ACCOUNT}')
    assert read(tmp_path, f'[http]\nport = 18495\n[metrics]\nlisten = "127.0.0.1:18496"\n{ACCOUNT}').metrics is not None


def test_settings_of_all_and_of_one(tmp_path: Path) -> None:
    text = (
        "[recovery]\nlag_s = 2\naudit_s = 60\n"
        + ACCOUNT
        + '[account.recovery]\nlag_s = 7\n[[account]]\nname="b"\nvenue="binance-usdm"\napi_key_env="SECRET"\n'
    )
    first, second = read(tmp_path, text).accounts
    assert (first.recovery.lag_s, first.recovery.audit_s, second.recovery.lag_s) == (7, 60, 2)


def test_disabled_accounts_are_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, ACCOUNT + "enabled = false\n").accounts == ()


def test_secrets_from_files_beside_the_configuration(tmp_path: Path) -> None:
    secret = tmp_path / "alice.secret"
    secret.write_text("from-file\n")
    secret.chmod(0o600)
    (account,) = read(tmp_path, ACCOUNT + 'api_secret_file = "alice.secret"\n').accounts
    assert account.credentials.api_secret is not None
    assert account.credentials.api_secret.reveal() == "from-file"
    secret.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        read(tmp_path, ACCOUNT + 'api_secret_file = "alice.secret"\n')


def test_websocket_switch_of_the_environment(tmp_path: Path) -> None:
    for word, is_on in {"false": False, "0": False, " No ": False, "off": False, "TRUE": True, "1": True, "yes": True, "on": True}.items():
        assert read(tmp_path, ACCOUNT, environment=ENVIRONMENT | {"WEBSOCKET_ENABLED": word}).websocket_enabled is is_on
    assert read(tmp_path, ACCOUNT, environment=ENVIRONMENT).websocket_enabled
    for unset in ("", " "):
        assert read(tmp_path, ACCOUNT, environment=ENVIRONMENT | {"WEBSOCKET_ENABLED": unset}).websocket_enabled


@pytest.mark.parametrize("word", ["disabled", "maybe", "2"])
def test_a_switch_that_is_neither_on_nor_off_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(SettingsError, match="must be true, 1, yes, on or false, 0, no, off; or unset it") as caught:
        read(tmp_path, ACCOUNT, environment=ENVIRONMENT | {"WEBSOCKET_ENABLED": word})
    assert f"WEBSOCKET_ENABLED = {word!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no account is configured"),
        ("nonsense", "is not TOML"),
        ("[stor]\n" + ACCOUNT, "did you mean 'store'"),
        ('[store]\npth = "x"\n' + ACCOUNT, "did you mean 'path'"),
        ('[store]\nkeep_days = "many"\n' + ACCOUNT, r"\[store\] keep_days = 'many' must be a whole number"),
        (ACCOUNT + 'symbols = "BTCUSDT"\n', r"\[account 1\] symbols = 'BTCUSDT' must be a list of names, such as \['BTCUSDT'\]"),
        (ACCOUNT + 'symbols = ["BTCUSDT", 5]\n', r"symbols\[1\] must be text"),
        (ACCOUNT + "rest_url = 5\n", "rest_url = 5 must be text"),
        (ACCOUNT + 'enabled = "no"\n', "enabled = 'no' must be true or false"),
        (ACCOUNT + "recovery = 5\n", "recovery = 5 must be a table"),
        (ACCOUNT + "api_secret = 5\n", r"\[account 1\] api_secret must be text$"),
        ('[recovery]\nlag_s = "5"\n' + ACCOUNT, "lag_s = '5' must be a number"),
        ('[log]\nlevel = "loud"\n' + ACCOUNT, "level"),
        ("[recovery]\nlag_s = -1\n" + ACCOUNT, "lag_s"),
        ("[stream]\nredundancy = 3\n" + ACCOUNT, "redundancy"),
        ("account = 3\n", "no account"),
        ("[account]\nname = 'alice'\n", r"write \[\[account\]\] instead of \[account\]"),
        ("[[account]]\nname = 'alice'\napi_key_env = 'KEY'\n", r"\[account 1\] venue is missing; docs/reference/configuration.md"),
        (
            ACCOUNT + 'rest_url = "http://127.0.0.1:9"\n',
            r"account 'alice' rest_url = 'http://127.0.0.1:9' alone would leave.* give ws_url",
        ),
        (ACCOUNT + 'ws_url = "ws://127.0.0.1:9"\n', r"ws_url = 'ws://127.0.0.1:9' alone would leave.* give rest_url"),
        (SPOT + 'ws_api_url = "ws://127.0.0.1:9"\n', r"ws_api_url = 'ws://127.0.0.1:9' alone would leave.* give rest_url"),
        (SPOT + 'ws_url = "ws://127.0.0.1:9"\n', r"ws_url = 'ws://127.0.0.1:9' alone would leave.* give rest_url"),
        (SPOT + 'rest_url = "http://127.0.0.1:9"\n', r"rest_url = 'http://127.0.0.1:9' alone would leave.* give ws_api_url"),
        (SPOT + 'symbols = ["BTCUSDT", " "]\n', "symbols"),
        (SPOT + 'isolated_symbol = "BTCUSDT"\n', "isolated_symbol = 'BTCUSDT' has no meaning at binance-spot"),
        (ACCOUNT + "microseconds = true\n", "account 'alice' microseconds = true has no meaning at binance-usdm"),
        (ACCOUNT + 'shared_socket = "no"\n', "shared_socket = 'no'"),
        (ACCOUNT + "[account.stream]\nrotate_s = 1.5\n", "rotate_s = 1.5 must be at least 3: a replaced socket goes on for 2 s"),
        (ACCOUNT + ACCOUNT, "names are unique"),
        (ACCOUNT + '[vault]\nkey_command = "cat x"\n', r"key_command = 'cat x' must be a list of words, such as \['cat', 'vault.keys'\]"),
        (ACCOUNT + 'symbols = ["BTC/USDT"]\n', "'BTC/USDT' is no symbol"),
        (ACCOUNT + 'rest_url = ""\nws_url = ""\n', "rest_url '' is empty: leave it out for the venue itself"),
        (ACCOUNT + "api_sekret = 'x'\n", "did you mean 'api_secret'"),
        (ACCOUNT + 'api_key = "again"\n', "more than one way"),
        ('[[account]]\nname = "a"\nvenue = "binance-usdm"\napi_secret_env = "SECRET"\n', "no api_key"),
        ('[[account]]\nname = "a"\nvenue = "binance-usdm"\napi_key_env = "MISSING"\n', "MISSING, which is not set"),
        ('[[account]]\nvenue = "binance-usdm"\napi_key_env = "KEY"\n', "name"),
        (ACCOUNT + 'api_secret_file = "nowhere"\n', "nowhere"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read(tmp_path, text)


def test_the_environment_may_give_the_other_address(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"USERSTREAM_BINANCE_USDM_WS_URL": "ws://127.0.0.1:9"}
    (account,) = read(tmp_path, ACCOUNT + 'rest_url = "http://127.0.0.1:9"\n', environment=environment).accounts
    assert account.rest_url == "http://127.0.0.1:9"


def test_half_an_address_in_the_environment_is_refused(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"USERSTREAM_BINANCE_USDM_REST_URL": "http://127.0.0.1:9"}
    with pytest.raises(SettingsError, match=r"USERSTREAM_BINANCE_USDM_REST_URL = .* alone would leave"):
        read(tmp_path, ACCOUNT, environment=environment)


@pytest.mark.parametrize("text", ["nonsense", "[stor]\n" + ACCOUNT, '[store]\npth = "x"\n' + ACCOUNT])
def test_mistakes_of_form_name_the_reference(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"docs/reference/configuration\.md"):
        read(tmp_path, text)


def test_inline_secrets_need_a_private_file(tmp_path: Path) -> None:
    text = '[[account]]\nname = "a"\nvenue = "binance-usdm"\napi_key = "canary-key"\n'
    assert read(tmp_path, text).accounts[0].credentials.api_key.reveal() == "canary-key"
    with pytest.raises(SettingsError, match="chmod 600") as caught:
        read(tmp_path, text, mode=0o644)
    assert "canary" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        read_configuration(tmp_path / "absent.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        read_configuration(tmp_path / "latin.toml", {})


def test_an_account_may_keep_its_sockets_for_itself_and_ask_for_microseconds(tmp_path: Path) -> None:
    text = SPOT + "shared_socket = false\nmicroseconds = true\n"
    [own], [plain] = read(tmp_path, text).accounts, read(tmp_path, SPOT).accounts
    assert (own.shared_socket, own.microseconds) == (False, True)
    assert (plain.shared_socket, plain.microseconds) == (True, False)


def test_each_isolated_pair_is_an_account_of_its_own_with_the_same_key(tmp_path: Path) -> None:
    margin = ACCOUNT.replace("binance-usdm", "binance-margin")
    pairs = [margin.replace("alice", pair.lower()) + f'isolated_symbol = "{pair}"\n' for pair in ("BTCUSDT", "ETHUSDT")]
    accounts = read(tmp_path, margin + "".join(pairs)).accounts
    assert [(account.name, account.isolated_symbol) for account in accounts] == [
        ("alice", ""),
        ("btcusdt", "BTCUSDT"),
        ("ethusdt", "ETHUSDT"),
    ]
    with pytest.raises(SettingsError, match="same api_key"):
        read(tmp_path, pairs[0] + pairs[0].replace("btcusdt", "again"))


# --- postgres


def test_postgres_is_off_unless_it_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, ACCOUNT).postgres is None


def test_postgres_from_the_environment_a_file_or_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "pg.password").write_text("from-file\n")
    (tmp_path / "pg.password").chmod(0o600)
    given = read(
        tmp_path,
        '[postgres]\nurl_env = "PG"\npassword_file = "pg.password"\nmigrate = false\n' + ACCOUNT,
        environment=ENVIRONMENT | {"PG": "postgresql://u@h/d"},
    ).postgres
    assert given is not None and given.password is not None
    assert (given.url.reveal(), given.password.reveal(), given.migrate) == ("postgresql://u@h/d", "from-file", False)
    inline = read(tmp_path, '[postgres]\nurl = "postgresql:///desk"\n' + ACCOUNT).postgres
    assert inline is not None and inline.migrate and inline.password is None


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "[postgres] has no url; give url_env, url_file or url"),
        ('url_env = "NOT_SET"', "[postgres] takes its url from the environment variable NOT_SET, which is not set"),
        ('url = "postgresql://h/d"\nurl_env = "KEY"', "[postgres] gives url in more than one way"),
        ('url = "mysql://u:s3cret-canary@h/d"', "[postgres] the PostgreSQL url does not begin with postgresql://"),
        ('url = "postgresql://bot:12/s3cret-canary@h/d"', "write @ as %40, / as %2F"),
        ('url = "postgresql://u:s3cret-canary@h/d"\npassword = "s3cret-canary"', "[postgres] the url holds a password, and password"),
        ("password = 53", "[postgres] password must be text"),
        ('adress = "s3cret-canary"', "[postgres] 'adress' is not known"),
    ],
)
def test_mistakes_about_postgres_are_told_without_secrets(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(tmp_path, f"[postgres]\n{lines}\n{ACCOUNT}")
    assert told in str(refusal.value)
    assert "s3cret-canary" not in str(refusal.value)


def test_a_file_with_the_url_of_a_database_is_private(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"holds the url of \[postgres\]: run chmod 600"):
        read(tmp_path, '[postgres]\nurl = "postgresql://u:p@h/d"\n' + ACCOUNT, mode=0o644)


def test_how_accounts_are_looked_after_is_a_setting(tmp_path: Path) -> None:
    assert read(tmp_path, ACCOUNT, environment=ENVIRONMENT).manager == ManagerSection()
    text = f"[manager]\nhealth_s = 5\ndark_limit_s = 90.5\nretry_s = 30\nrisk_reserve = 0.2\n{ACCOUNT}"
    found = read(tmp_path, text, environment=ENVIRONMENT).manager
    assert (found.health_s, found.dark_limit_s, found.retry_s, found.risk_reserve) == (5, 90.5, 30, 0.2)


@pytest.mark.parametrize(
    "field",
    ["health_s = 0.5", "health_s = nan", "dark_limit_s = 9", "retry_s = 3601", "risk_reserve = 0.6", "risk_reserve = -0.1", "x = 1"],
)
def test_what_no_manager_can_work_with_is_refused_by_name(tmp_path: Path, field: str) -> None:
    with pytest.raises(SettingsError, match=rf"\[manager\] '?{field.partition(' ')[0]}"):
        read(tmp_path, f"[manager]\n{field}\n{ACCOUNT}", environment=ENVIRONMENT)
