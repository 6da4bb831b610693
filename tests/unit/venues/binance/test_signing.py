"""Signatures: the venue's own vectors, keys of each kind, and that nothing of a secret is ever shown."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, quote, unquote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import assume, given
from hypothesis import strategies as st

from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.signing import key_header, make_signer, signed_query

SPOT_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
FUTURES_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
NOW = Millis(1_790_000_000_000)
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED25519_KEY = ed25519.Ed25519PrivateKey.generate()


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


@pytest.mark.parametrize(
    ("secret", "payload", "signature"),
    [
        (
            SPOT_SECRET,
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            SPOT_SECRET,
            "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
            "&recvWindow=5000&timestamp=1499827319559",
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
        (
            FUTURES_SECRET,
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
            "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
        ),
    ],
)
def test_the_venues_own_vectors(secret: str, payload: str, signature: str) -> None:
    assert make_signer(Secret(secret))(payload) == signature
    assert make_signer(Secret(f"  {secret}\n"))(payload) == signature


def test_an_rsa_key_signs_by_pkcs1_with_sha256() -> None:
    signature = base64.b64decode(make_signer(Secret(pem(RSA_KEY)))("a=1"), validate=True)
    RSA_KEY.public_key().verify(signature, b"a=1", PKCS1v15(), SHA256())


@pytest.mark.parametrize("written_out", [False, True])
def test_an_ed25519_key_signs_also_from_a_single_line(written_out: bool) -> None:
    text = pem(ED25519_KEY)
    signature = make_signer(Secret(text.replace("\n", "\\n") if written_out else text))("a=1")
    ED25519_KEY.public_key().verify(base64.b64decode(signature, validate=True), b"a=1")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (pem(ED25519_KEY, b"hunter2"), "password"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "RSA"),
        (pem(ED25519_KEY)[:60], "whole"),
        ("-----BEGIN NONSENSE-----\nQUJD\n-----END NONSENSE-----", "whole"),
    ],
    ids=["nothing", "blanks", "with a password", "of another kind", "cut off", "no key"],
)
def test_what_cannot_sign_is_refused_without_showing_it(secret: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"api_secret.*{words}") as caught:
        make_signer(Secret(secret))
    assert caught.value.__cause__ is None
    assert not any(line and line in str(caught.value) for line in secret.strip().splitlines()[1:])


def test_the_signature_comes_last_and_covers_all_before_it_as_sent() -> None:
    sign = make_signer(Secret(FUTURES_SECRET))
    query = signed_query({"symbol": "币安人生USDT", "orderId": "1 /+"}, sign, NOW)
    payload, _, signature = query.rpartition("&signature=")
    encoded = "symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&orderId=1%20%2F%2B"
    assert payload == f"{encoded}&recvWindow=5000&timestamp=1790000000000"
    assert signature == sign(payload)


def test_a_base64_signature_is_percent_encoded() -> None:
    query = signed_query({}, make_signer(Secret(pem(RSA_KEY))), NOW)
    payload, _, signature = query.rpartition("&signature=")
    assert not set(signature) & set("+/=")
    RSA_KEY.public_key().verify(base64.b64decode(unquote(signature)), payload.encode(), PKCS1v15(), SHA256())


@given(parameters=st.dictionaries(st.sampled_from(["symbol", "orderId", "cursor"]), st.text(max_size=20)))
def test_any_parameters_arrive_as_they_were(parameters: dict[str, str]) -> None:
    clean = {name: value for name, value in parameters.items() if value.isprintable()}
    query = signed_query(clean, lambda payload: "s", NOW)
    told = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))
    assert told == {**clean, "recvWindow": "5000", "timestamp": str(NOW), "signature": "s"}
    assert query.isascii()


def test_the_header_names_the_key() -> None:
    name, value = key_header(Secret(" abc\n"))
    assert (name, value.reveal()) == ("X-MBX-APIKEY", "abc")


@pytest.mark.parametrize("key", ["", "  ", "a b", "a\r\nX-Other: 1", "ключ", "a\x00b"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="api_key"):
        key_header(Secret(key))


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_all_that_is_said_is_percent_encoded(said: dict[str, str]) -> None:
    whole = {**said, "recvWindow": "5000", "timestamp": str(NOW), "signature": "+/="}
    assume(len(whole) == len(said) + 3)
    assert signed_query(said, lambda payload: "+/=", NOW) == urlencode(whole, quote_via=quote, safe="")
