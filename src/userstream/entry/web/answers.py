"""The form of every answer: security headers, and errors that tell nothing of what is inside."""

from __future__ import annotations

from typing import Final

import msgspec

from userstream.entry.web.checks import Refusal

POLICY: Final = (
    "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)
STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")
_OWN: Final = frozenset(name for name, _ in (*SECURITY_HEADERS, STRICT_TRANSPORT))


class ErrorText(msgspec.Struct, frozen=True, kw_only=True):
    """code: for programs. message: one line for people."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer that is no success holds."""

    error: ErrorText


class ApiError(Exception):
    """A request that is refused, with the words for whoever asked."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(status=status, code=code, message=message, challenge=status == 401)


def error_body(refusal: Refusal) -> bytes:
    """The JSON of a refusal."""
    return msgspec.json.encode(ErrorAnswer(error=ErrorText(code=refusal.code, message=refusal.message)))


def refusal_headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """What a refusal's answer needs beside the security headers."""
    headers = [(b"content-type", b"application/json")]
    if refusal.retry_after_ms:
        headers.append((b"retry-after", str(-(-refusal.retry_after_ms // 1_000)).encode()))
    if refusal.challenge:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def secured(headers: list[tuple[bytes, bytes]], *, has_tls: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with the security headers in place of any of their name."""
    others = [
        (name, _said_once(value) if name.lower() == b"content-type" else value) for name, value in headers if name.lower() not in _OWN
    ]
    return [*others, *SECURITY_HEADERS, *((STRICT_TRANSPORT,) if has_tls else ())]


def _said_once(content_type: bytes) -> bytes:
    """A charset that a route names is named again by the framework, and readers such as Prometheus refuse a parameter that comes twice."""
    return b"; ".join(dict.fromkeys(part.strip() for part in content_type.split(b";")))
