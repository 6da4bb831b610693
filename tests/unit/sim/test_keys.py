"""Keys, signatures and listen keys."""

import base64
import hashlib
import hmac
import random

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.books import Millis
from userstream.sim.keys import ApiKey, KeyRing, KeyType, ListenKey, ListenKeys, make_secret, make_text, mask, verify

HOUR = 3_600_000
START = Millis(1_790_000_000_000)


def key_with(secret: str, key_type: KeyType = KeyType.HMAC) -> ApiKey:
    return ApiKey(account="a", venue="v", api_key="k" * 64, api_secret=secret, key_type=key_type)


def private_sign(pem: str, payload: bytes) -> str:
    private = serialization.load_pem_private_key(pem.encode(), password=None)
    if isinstance(private, rsa.RSAPrivateKey):
        return base64.b64encode(private.sign(payload, padding.PKCS1v15(), hashes.SHA256())).decode()
    assert isinstance(private, Ed25519PrivateKey)
    return base64.b64encode(private.sign(payload)).decode()


@given(st.text(min_size=1, max_size=200), st.binary(max_size=300))
def test_a_signature_is_the_standard_librarys_hmac_however_long_the_secret_is(secret: str, payload: bytes) -> None:
    made = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    assert verify(key_with(secret), payload, made)
    assert not verify(key_with(secret), payload + b"x", made)


# The vectors of the venue's documents (Binance USD-M, 3.4).
VECTORS = [
    (
        "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    (
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    ),
    (
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
        "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96"
        "&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
    ),
]


@pytest.mark.parametrize(("secret", "payload", "signature"), VECTORS)
def test_hmac_signatures_are_those_of_the_documents_in_either_case(secret: str, payload: str, signature: str) -> None:
    key = key_with(secret)
    assert verify(key, payload.encode(), signature)
    assert verify(key, payload.encode(), signature.upper())
    assert not verify(key, payload.encode() + b"0", signature)


@pytest.mark.parametrize("key_type", [KeyType.RSA, KeyType.ED25519])
def test_private_keys_sign_exactly_these_bytes(key_type: KeyType) -> None:
    key = key_with(make_secret(key_type, random.Random(1)), key_type)
    signature = private_sign(key.api_secret, b"symbol=BTCUSDT")
    assert verify(key, b"symbol=BTCUSDT", signature)
    assert not verify(key, b"symbol=ETHUSDT", signature)
    assert not verify(key, b"symbol=BTCUSDT", signature.swapcase())


@given(st.text(max_size=200))
def test_no_text_is_a_signature_by_accident(text: str) -> None:
    for key_type in (KeyType.HMAC, KeyType.ED25519):
        assert not verify(key_with(make_secret(key_type, random.Random(2)), key_type), b"payload", text)


def test_the_same_seed_gives_the_same_keys() -> None:
    for key_type in (KeyType.HMAC, KeyType.ED25519):
        assert make_secret(key_type, random.Random(5)) == make_secret(key_type, random.Random(5))
    assert len(make_text(random.Random(1))) == 64


def test_secrets_are_never_shown() -> None:
    secret = make_text(random.Random(3))
    assert secret not in repr(key_with(secret))
    assert secret not in repr(ListenKey(account="a", key=secret, expires_at=START))
    assert secret not in mask(secret)
    assert mask("short") == "***"


def test_a_ring_finds_revokes_and_restores() -> None:
    ring = KeyRing()
    key = key_with("secret")
    ring.add(key)
    assert ring.find(key.api_key) is key
    assert ring.revoke("a") == 1
    assert ring.find(key.api_key) is None
    assert list(ring.of_account("a")) == [key]
    assert ring.restore("a") == 1
    assert ring.find(key.api_key) is key


def test_a_ring_takes_a_key_once() -> None:
    ring = KeyRing()
    ring.add(key_with("one"))
    with pytest.raises(ValueError, match="twice"):
        ring.add(key_with("two"))


def listen_keys() -> ListenKeys:
    return ListenKeys(HOUR, random.Random(7))


def test_opening_again_gives_the_same_key_with_its_full_life() -> None:
    keys = listen_keys()
    first = keys.open("a", START)
    again = keys.open("a", Millis(START + HOUR - 1))
    assert again.key == first.key
    assert again.expires_at == START + 2 * HOUR - 1
    assert len(first.key) == 64


def test_a_key_that_is_over_cannot_be_extended_and_the_next_one_is_new() -> None:
    keys = listen_keys()
    first = keys.open("a", START)
    late = Millis(START + HOUR)
    assert keys.extend("a", late) is None
    assert [known.key for known in keys.expire_due(late)] == [first.key]
    assert keys.owner(first.key) is None
    assert keys.open("a", late).key != first.key


def test_an_extended_key_does_not_expire_at_its_old_time() -> None:
    keys = listen_keys()
    keys.open("a", START)
    keys.extend("a", Millis(START + HOUR // 2))
    assert keys.expire_due(Millis(START + HOUR)) == []


def test_a_closed_or_replaced_key_belongs_to_nobody() -> None:
    keys = listen_keys()
    first = keys.open("a", START).key
    second = keys.replace("a", START).key
    assert (keys.owner(first), keys.owner(second)) == (None, "a")
    assert keys.close("a") is not None
    assert keys.close("a") is None
    assert keys.owner(second) is None


def test_a_forced_expiry_is_due_at_once() -> None:
    keys = listen_keys()
    known = keys.open("a", START)
    assert keys.expire("nobody", START) is None
    keys.expire("a", START)
    assert [each.key for each in keys.expire_due(START)] == [known.key]
    assert keys.living() == []
