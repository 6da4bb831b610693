"""Certificate and key of the HTTP API: what cannot be used is told by its file and the reason, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certificates import Authority
from userstream.entry.web.place import check_certificate
from userstream.entry.web.settings import HttpSection
from userstream.kernel.errors import SettingsError

SECTION = HttpSection(certificate_file="certificate.pem", key_file="key.pem")
PLAIN, SECRET = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"a passphrase")


def key_text(way: serialization.KeySerializationEncryption = PLAIN) -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, way)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a certificate and its key."""
    authority = Authority(tmp_path)
    (tmp_path / "certificate.pem").write_bytes(authority.certificate)
    (tmp_path / "server.pem").rename(tmp_path / "key.pem")
    return tmp_path


def test_a_pair_that_belongs_together_can_be_used(folder: Path) -> None:
    check_certificate(SECTION, folder)
    check_certificate(HttpSection(), folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("certificate.pem", b"nonsense", "certificate.pem' holds no certificate in PEM form"),
        ("key.pem", b"", "key.pem' holds no private key in PEM form"),
        ("key.pem", key_text(), "is not the key of certificate_file = "),
        ("key.pem", key_text(SECRET), "key.pem' is encrypted: give it without a passphrase"),
        ("certificate.pem", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "one of them is damaged"),
    ],
    ids=["no certificate", "no key", "another key", "encrypted", "damaged"],
)
def test_what_cannot_be_used_is_told_by_its_file_and_the_reason(folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(SettingsError) as told:
        check_certificate(SECTION, folder)
    assert str(told.value).startswith("[http] ") and words in str(told.value) and "\n" not in str(told.value)
    assert name.removesuffix(".pem") + "_file" in str(told.value)


def test_a_file_that_is_not_there_is_told_with_the_place_where_it_was_looked_for(folder: Path) -> None:
    (folder / "key.pem").unlink()
    with pytest.raises(SettingsError) as told:
        check_certificate(SECTION, folder)
    assert str(told.value) == f"[http] key_file = 'key.pem' must name a file that is there; there is none at {folder / 'key.pem'}"
