import math

import msgspec
import pytest

from userstream.kernel.errors import SettingsError
from userstream.kernel.settings import (
    CLASSIC_DEFAULTS,
    MOST_OF_A_LIFE,
    SHORTEST_LIFE_S,
    ClassicConfig,
    RecoverySettings,
    StreamSettings,
    read_classic_config,
)


@pytest.mark.parametrize("kind", [RecoverySettings, StreamSettings, ClassicConfig])
def test_the_defaults_obey_their_own_rules(kind: type[msgspec.Struct]) -> None:
    assert kind() == kind()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lag_s", -1),
        ("lag_s", 121),
        ("overlap_s", -0.1),
        ("overlap_s", 3601),
        ("audit_s", 0.5),
        ("history_s", 10),
        ("poll_s", 0),
        ("backfill_s", -1),
        ("backfill_s", 91 * 86_400),
        ("audit_s", math.nan),
        ("poll_s", math.inf),
    ],
)
def test_a_wrong_recovery_setting_names_field_value_and_rule(field: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"^{field} = .* must"):
        RecoverySettings(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dial_limit_s", 0),
        ("call_limit_s", -1),
        ("keep_alive_s", 0),
        ("keep_alive_s", 3501),
        ("own_ping_s", 0),
        ("own_ping_s", 45),
        ("rotate_s", 0),
        ("rotate_s", 2.9),
        ("rotate_s", 86_400),
        ("redundancy", 0),
        ("redundancy", 3),
        ("first_delay_s", 0),
        ("first_delay_s", 61),
        ("polling_after_failures", 0),
        ("silence_s", math.inf),
        ("max_delay_s", math.inf),
        ("dial_limit_s", math.nan),
    ],
)
def test_a_wrong_stream_setting_names_field_value_and_rule(field: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"^{field} = .* must"):
        StreamSettings(**{field: value})  # type: ignore[arg-type]


def test_sockets_are_not_replaced_sooner_than_their_predecessors_end() -> None:
    assert MOST_OF_A_LIFE < 1
    assert StreamSettings(rotate_s=SHORTEST_LIFE_S).rotate_s == SHORTEST_LIFE_S
    with pytest.raises(SettingsError, match=r"^rotate_s = 1\.2 must be at least 3: a replaced socket goes on for 2 s beside its successor"):
        StreamSettings(rotate_s=1.2)


def test_settings_cannot_be_changed_or_misspelt() -> None:
    with pytest.raises(AttributeError):
        StreamSettings().redundancy = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        StreamSettings(redundanzy=2)  # type: ignore[call-arg]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"lag": 3}, RecoverySettings)


def test_the_classic_defaults_are_those_of_the_checked_config() -> None:
    fresh = ClassicConfig()
    assert {name: getattr(fresh, name) for name in CLASSIC_DEFAULTS} == dict(CLASSIC_DEFAULTS)
    assert read_classic_config(dict(CLASSIC_DEFAULTS)) == fresh


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"reconect_delay": 5}, "config key 'reconect_delay' is not known; did you mean 'reconnect_delay'?"),
        ({7: 5}, "config key 7 is not known"),
        ({"reconnect_delay": "5"}, "Expected `?float`?, got `?str`?|reconnect_delay"),
        ({"reconnect_delay": 0}, "reconnect_delay = 0(.0)? must be above 0"),
        ({"connection_timeout": -1}, "connection_timeout"),
        ({"request_timeout": math.inf}, "request_timeout = inf must be a finite number"),
        ({"ping_interval": 3600}, "ping_interval"),
        ({"ping_interval": 0}, "ping_interval"),
        ({"reconnect_delay": 10, "max_reconnect_delay": 5}, "max_reconnect_delay"),
        ({"max_reconnect_attempts": 0}, "max_reconnect_attempts"),
        ({"max_queue": 0}, "max_queue"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_age": 0}, "batch_age"),
        ({"events": "ORDER_TRADE_UPDATE"}, "events"),
        ({"api_secret": 42}, "api_secret"),
    ],
)
def test_a_wrong_classic_config_says_what_would_be_right(config: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_classic_config(config)


def test_a_classic_config_never_shows_its_secret() -> None:
    config = read_classic_config({"api_secret": "s3cret", "events": ["ORDER_TRADE_UPDATE"]})
    assert "s3cret" not in repr(config)
    assert "s3cret" not in f"{config}"
    assert config.events == ("ORDER_TRADE_UPDATE",)
    assert "binance-usdm" in repr(read_classic_config({}))


def test_a_wrong_value_beside_a_secret_does_not_show_the_secret() -> None:
    with pytest.raises(SettingsError) as refusal:
        read_classic_config({"api_secret": "s3cret", "max_queue": "many"})
    assert "s3cret" not in str(refusal.value)
