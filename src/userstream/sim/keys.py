"""Who may ask: API keys with their signatures, and the listen keys that open a private stream. Pure: time and chance are arguments."""

import base64
import binascii
import hashlib
import hmac
import random
import string
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from userstream.sim.books import Millis

KEY_LETTERS = string.ascii_letters + string.digits
KEY_LENGTH = 64
TOKEN_LENGTH = 72


class KeyType(StrEnum):
    HMAC = "hmac"
    RSA = "rsa"
    ED25519 = "ed25519"


HMAC: Final = KeyType.HMAC
HASH_BLOCK: Final = 64  # bytes, of SHA-256


def mask(secret: str) -> str:
    """Enough to recognise a key in a log, not enough to use it."""
    return f"{secret[:4]}...{secret[-4:]}" if len(secret) > 12 else "***"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an account of the paper exchange. `api_secret` is the HMAC secret or the private key as PEM text; the repr hides it."""

    account: str
    venue: str
    api_key: str
    api_secret: str
    passphrase: str = ""
    key_type: KeyType = KeyType.HMAC
    can_trade: bool = True
    can_withdraw: bool = False
    ip_restricted: bool = True

    def __repr__(self) -> str:
        return f"ApiKey(account={self.account!r}, venue={self.venue!r}, api_key={mask(self.api_key)!r}, key_type={self.key_type.value!r})"


def make_text(chance: random.Random, length: int = KEY_LENGTH) -> str:
    return "".join(chance.choices(KEY_LETTERS, k=length))


def make_secret(key_type: KeyType, chance: random.Random) -> str:
    """A new secret. RSA keys cannot be drawn from a seed; they differ in each run."""
    match key_type:
        case KeyType.HMAC:
            return make_text(chance)
        case KeyType.ED25519:
            return _pem(Ed25519PrivateKey.from_private_bytes(chance.randbytes(32)))
        case KeyType.RSA:
            return _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _pem(private: Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def verify(key: ApiKey, payload: bytes, signature: str) -> bool:
    """True when `signature` is this key's signature of exactly these bytes (Binance USD-M, 3.4).

    HMAC signatures are hexadecimal in either case, RSA (PKCS 1 v1.5, SHA-256) and Ed25519 signatures are base64.
    """
    if key.key_type is HMAC:
        keyed_inner, keyed_outer = _keyed(key.api_secret)
        inner, outer = keyed_inner.copy(), keyed_outer.copy()
        inner.update(payload)
        outer.update(inner.digest())
        return hmac.compare_digest(outer.hexdigest().encode(), signature.lower().encode())
    public = _public_key(key.api_secret)
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(raw, payload, padding.PKCS1v15(), hashes.SHA256())
        else:
            public.verify(raw, payload)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


@lru_cache(maxsize=4096)
def _keyed(secret: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """The two hashes of an HMAC (RFC 2104) with the key taken in, once; each payload goes into copies, which is much quicker than
    copies of the standard library's own."""
    key = secret.encode() if len(secret.encode()) <= HASH_BLOCK else hashlib.sha256(secret.encode()).digest()
    padded = key.ljust(HASH_BLOCK, b"\0")
    return hashlib.sha256(bytes(each ^ 0x36 for each in padded)), hashlib.sha256(bytes(each ^ 0x5C for each in padded))


@lru_cache(maxsize=4096)
def _public_key(pem: str) -> Ed25519PublicKey | rsa.RSAPublicKey:
    private = serialization.load_pem_private_key(pem.encode(), password=None)
    if isinstance(private, Ed25519PrivateKey | rsa.RSAPrivateKey):
        return private.public_key()
    raise ValueError("a paper account's key is an Ed25519 or an RSA key")


class KeyRing:
    """All API keys of one venue. A revoked key is known no more until it is restored."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._revoked: dict[str, ApiKey] = {}

    def add(self, key: ApiKey) -> None:
        if key.api_key in self._keys:
            raise ValueError(f"the API key {mask(key.api_key)} is given twice")
        self._keys[key.api_key] = key

    def find(self, api_key: str) -> ApiKey | None:
        return self._keys.get(api_key)

    def of_account(self, account: str) -> Iterator[ApiKey]:
        return (key for key in (*self._keys.values(), *self._revoked.values()) if key.account == account)

    def revoke(self, account: str) -> int:
        """Forget the account's keys; returns how many."""
        gone = [key for key in self._keys.values() if key.account == account]
        for key in gone:
            self._revoked[key.api_key] = self._keys.pop(key.api_key)
        return len(gone)

    def restore(self, account: str) -> int:
        back = [key for key in self._revoked.values() if key.account == account]
        for key in back:
            self._keys[key.api_key] = self._revoked.pop(key.api_key)
        return len(back)


class ListenToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that opens one account's user data stream, and when it dies."""

    account: str
    token: str
    expires_at: Millis

    def __repr__(self) -> str:
        return f"ListenToken(account={self.account!r}, token={mask(self.token)!r}, expires_at={self.expires_at})"


class ListenTokens:
    """Living listen tokens. An account may have several, each with its own end; none is ever extended (Binance Spot, 2.4)."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._living: dict[str, ListenToken] = {}
        self._longest_ms: dict[str, int] = {}

    def limit_life(self, account: str, life_ms: int | None) -> None:
        """The account's next tokens live no longer; None ends it."""
        self._longest_ms.pop(account, None)
        if life_ms is not None:
            self._longest_ms[account] = life_ms

    def open(self, account: str, life_ms: int, now: Millis) -> ListenToken:
        life_ms = min(life_ms, self._longest_ms.get(account, life_ms))
        made = ListenToken(account=account, token=make_text(self._chance, TOKEN_LENGTH), expires_at=Millis(now + life_ms))
        self._living[made.token] = made
        return made

    def find(self, token: str, now: Millis) -> ListenToken | None:
        known = self._living.get(token)
        return known if known is not None and now < known.expires_at else None

    def expire(self, account: str, now: Millis) -> int:
        """Let the time of the account's tokens be over now; the next `expire_due` takes them. Returns how many."""
        ending = [known for known in self._living.values() if known.account == account]
        for known in ending:
            self._living[known.token] = msgspec.structs.replace(known, expires_at=now)
        return len(ending)

    def expire_due(self, now: Millis) -> list[ListenToken]:
        """Take out and return the tokens whose time has come."""
        due = [known for known in self._living.values() if known.expires_at <= now]
        for known in due:
            del self._living[known.token]
        return due


class ListenKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key that opens an account's private stream, and when it dies."""

    account: str
    key: str
    expires_at: Millis

    def __repr__(self) -> str:
        return f"ListenKey(account={self.account!r}, key={mask(self.key)!r}, expires_at={self.expires_at})"


class ListenKeys:
    """One living listen key for each account (Binance USD-M, 2.1)."""

    def __init__(self, life_ms: int, chance: random.Random) -> None:
        self._life_ms = life_ms
        self._chance = chance
        self._by_account: dict[str, ListenKey] = {}
        self._accounts: dict[str, str] = {}

    def open(self, account: str, now: Millis) -> ListenKey:
        """The living key, extended, or a new one."""
        return self.extend(account, now) or self._store(account, make_text(self._chance), now)

    def extend(self, account: str, now: Millis) -> ListenKey | None:
        """The living key with its full life before it; None where there is none."""
        known = self.of_account(account, now)
        return None if known is None else self._store(account, known.key, now)

    def close(self, account: str) -> ListenKey | None:
        """Forget the key. Nobody is told."""
        known = self._by_account.pop(account, None)
        if known is not None:
            del self._accounts[known.key]
        return known

    def replace(self, account: str, now: Millis) -> ListenKey:
        """The old key dies in silence, a new one lives: what another process of the account may do at any time."""
        self.close(account)
        return self._store(account, make_text(self._chance), now)

    def of_account(self, account: str, now: Millis) -> ListenKey | None:
        known = self._by_account.get(account)
        return known if known is not None and now < known.expires_at else None

    def owner(self, key: str) -> str | None:
        """The account of a key that was not closed. An expired key counts until `expire_due` took it."""
        return self._accounts.get(key)

    def expire(self, account: str, now: Millis) -> ListenKey | None:
        """Let the key's time be over now; the next `expire_due` takes it. None where there is no key."""
        known = self._by_account.get(account)
        if known is not None:
            self._by_account[account] = msgspec.structs.replace(known, expires_at=now)
        return known

    def expire_due(self, now: Millis) -> list[ListenKey]:
        """Take out and return the keys whose time has come."""
        due = [known for known in self._by_account.values() if known.expires_at <= now]
        for known in due:
            self.close(known.account)
        return due

    def living(self) -> list[ListenKey]:
        return sorted(self._by_account.values(), key=lambda known: known.account)

    def _store(self, account: str, key: str, now: Millis) -> ListenKey:
        known = ListenKey(account=account, key=key, expires_at=Millis(now + self._life_ms))
        self._by_account[account] = known
        self._accounts[key] = account
        return known
