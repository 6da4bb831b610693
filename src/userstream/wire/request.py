"""HTTP calls as values. Nothing here sends anything."""

from __future__ import annotations

import msgspec

from userstream.kernel.secret import Secret


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call, ready to send. `target` is path and query exactly as signed; secrets stay in `Secret` until the socket.

    weight: what it costs of the venue's request budget. may_repeat: whether sending it twice is harmless. of_host: the weight
    counts in the budget of `VenueSpec.host_of`.
    """

    method: str
    target: Secret
    label: str  # method and path without parameters: for logs, metrics and errors
    headers: tuple[tuple[str, Secret], ...] = ()
    body: Secret | None = None
    weight: int = 1
    may_repeat: bool = True
    of_host: bool = False


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. Header names are lower case. `status` 0 means that no answer came: `body` then holds one line why."""

    status: int
    body: bytes
    headers: dict[str, str] = {}
