"""A certificate authority for one test: made in memory, trusted by nobody else."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_FROM = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """Signs itself and serves as its own server certificate for 127.0.0.1, or for `name` alone."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self._key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        self.certificate = _self_signed(key, name).public_bytes(serialization.Encoding.PEM)
        self._file = folder / "server.pem"
        self._file.write_bytes(self._key + self.certificate)

    @property
    def roots(self) -> str:
        """What a client must trust: PEM text."""
        return self.certificate.decode()

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._file)
        return context


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str | None) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or "loopback")])
    served = x509.DNSName(name) if name is not None else x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    draft = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    draft = draft.serial_number(x509.random_serial_number()).not_valid_before(_FROM).not_valid_after(_UNTIL)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    draft = draft.add_extension(x509.SubjectAlternativeName([served]), critical=False)
    return draft.sign(key, hashes.SHA256())
