import errno
import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import Authority
from userstream.adapters.network import check_address, is_loopback, trusted_roots, words_for
from userstream.kernel.errors import SettingsError

CANARY = "canaryListenKey0123456789"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://fapi.binance.com", "fapi.binance.com:443"),
        ("HTTPS://FAPI.binance.com:8443/x?y=z", "fapi.binance.com:8443"),
        ("http://127.0.0.1:9000/binance-usdm", "127.0.0.1:9000"),
        ("http://localhost", "localhost:80"),
        ("http://[::1]:81/", "[::1]:81"),
    ],
)
def test_an_address_is_its_host_and_port(url: str, where: str) -> None:
    assert str(check_address(url, secure="https", plain="http")) == where


@pytest.mark.parametrize(
    "front",
    [
        "http://fapi.binance.com/",
        "http://127.0.0.1.example.com/",
        "http://0.0.0.0/",
        "ftp://127.0.0.1/",
        "https:///",
        "https://someone:else@example.com/",
        "https://someone@example.com/",
        "https://example.com/#",
        "https://example.com:99999/",
        "https://[::1/",
        "",
    ],
)
def test_any_other_address_is_a_wrong_setting_and_shows_no_secret(front: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_address(front + CANARY, secure="https", plain="http")
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:99999/x", "with a port from 1 to 65535; 'http://127.0.0.1:99999' is none"),
        ("http://127.0.0.1:0/x", "with a port from 1 to 65535; 'http://127.0.0.1:0' is none"),
        ("https://[::1/x", "with a port from 1 to 65535; 'https://[::1' is none"),
        ("wss://fapi.example?x", "must be https://HOST[:PORT]/..., or http:// to this machine; 'wss://fapi.example' is none"),
        ("https://me:secret@fapi.example:99999", "with a port from 1 to 65535; this is none"),
        ("https://me:sec/ret@fapi.example:99999", "with a port from 1 to 65535; this is none"),
        ("fapi.example", "or http:// to this machine; this is none"),
    ],
)
def test_a_wrong_address_is_shown_as_far_as_it_holds_no_secret(url: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_address(url, secure="https", plain="http")
    assert str(caught.value).endswith(words)


@given(st.text(max_size=60))
def test_no_text_brings_another_error(text: str) -> None:
    try:
        check_address(text, secure="wss", plain="ws")
    except SettingsError as error:
        assert str(error)


@given(st.ip_addresses())
def test_loopback_is_what_the_address_says(address: object) -> None:
    assert is_loopback(str(address)) == (str(address).startswith("127.") or str(address) == "::1")


def test_certificates_and_names_are_verified_with_tls_1_2_or_newer(tmp_path: Path) -> None:
    for context in (trusted_roots(), trusted_roots(Authority(tmp_path).roots)):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_roots_are_read_once_and_not_for_each_stream_that_starts(tmp_path: Path) -> None:
    own = Authority(tmp_path).roots
    assert trusted_roots() is trusted_roots()
    assert trusted_roots(own) is trusted_roots(own)
    assert trusted_roots(own) is not trusted_roots()


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_roots_that_hold_no_certificate_are_a_wrong_setting(text: str) -> None:
    with pytest.raises(SettingsError, match="PEM"):
        trusted_roots(text)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name does not resolve"),
        (OSError(errno.ECONNREFUSED, "Multiple exceptions"), "connection refused"),
        (OSError(errno.ECONNRESET, "x"), "the connection broke off"),
        (OSError(errno.ENETUNREACH, CANARY), "network is unreachable"),
        (ssl.SSLError(1, CANARY), "TLS failed (no reason given)"),
        (OSError(CANARY), "OSError"),
        (LookupError(CANARY), "LookupError"),
    ],
)
def test_trouble_has_words_without_secrets(error: Exception, words: str) -> None:
    assert words_for(error) == words
