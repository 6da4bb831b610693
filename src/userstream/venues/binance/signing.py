"""Signatures over the exact bytes that are sent (Binance USD-M, 3.4). Pure: the time stamp comes in."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret

RECEIVE_WINDOW_MS: Final = 5_000
KEY_HEADER: Final = "X-MBX-APIKEY"

Signer: TypeAlias = Callable[[str], str]
"""Payload to signature, as it goes into a query (not yet percent-encoded)."""

_PEM_START: Final = "-----BEGIN"


def make_signer(secret: Secret) -> Signer:
    """The signer for a secret, picked by its form: a private key in PEM (RSA PKCS#8 or Ed25519), else the text of an HMAC secret.

    Raises SettingsError, without any part of the secret, for a PEM that is no such key.
    """
    # A PEM that came through an environment variable or a one-line file often has its line ends written out.
    text = secret.reveal().strip().replace("\\n", "\n")
    if not text:
        raise SettingsError("api_secret is empty: give the HMAC secret, or the private key in PEM")
    return _pem_signer(text) if text.startswith(_PEM_START) else _hmac_signer(text)


def is_ed25519(secret: Secret) -> bool:
    """Whether the secret is an Ed25519 private key. Raises SettingsError as `make_signer` does."""
    text = secret.reveal().strip().replace("\\n", "\n")
    return text.startswith(_PEM_START) and isinstance(_private_key(text), Ed25519PrivateKey)


def _hmac_signer(text: str) -> Signer:
    keyed = hmac.new(text.encode(), digestmod=hashlib.sha256)

    def sign(payload: str) -> str:
        made = keyed.copy()
        made.update(payload.encode())
        return made.hexdigest()

    return sign


def _pem_signer(text: str) -> Signer:
    match _private_key(text):
        case RSAPrivateKey() as rsa:
            return lambda payload: base64.b64encode(rsa.sign(payload.encode(), PKCS1v15(), SHA256())).decode()
        case Ed25519PrivateKey() as ed25519:
            return lambda payload: base64.b64encode(ed25519.sign(payload.encode())).decode()
        case _:
            raise SettingsError("api_secret is a private key of a kind the venue does not take: use RSA (PKCS#8) or Ed25519")


def _private_key(text: str) -> object:
    try:
        return load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise SettingsError("api_secret is a private key under a password: give the key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError("api_secret begins like a private key in PEM but is none: check that the file is whole") from None


def key_header(api_key: Secret) -> tuple[str, Secret]:
    """The header that names the account. Raises SettingsError for a key no header can carry."""
    text = api_key.reveal().strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError("api_key is empty or holds characters no key has: copy it again from the venue's page")
    return (KEY_HEADER, Secret(text))


def signed_query(parameters: Mapping[str, str], signer: Signer, venue_now: Millis) -> str:
    """The query with recvWindow, timestamp (`venue_now`, the venue's ms) and, last, the signature over all before it.

    Percent-encoding comes first, then the signature: what is signed is what is sent.
    """
    given = "".join(f"{_encoded(name)}={_encoded(value)}&" for name, value in parameters.items())
    query = f"{given}recvWindow={RECEIVE_WINDOW_MS}&timestamp={venue_now}"
    return f"{query}&signature={_encoded(signer(query))}"


def _encoded(text: str) -> str:
    """Percent-encoded; most names and values are letters and digits, which stay as they are."""
    return text if text.isalnum() and text.isascii() else quote(text, safe="")
