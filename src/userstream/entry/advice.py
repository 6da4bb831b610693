"""What a person does next when a key is refused, in one sentence that names the true step. Pure."""

from __future__ import annotations

import re
from typing import Final

from userstream.kernel.errors import AuthenticationError, ClockSkewed, ConnectionError, RetryLater, SettingsError, UserStreamError
from userstream.wire.rights import KeyRights

OVERRIDE: Final = "--allow-unsafe-key, which is written to the audit log"
_OPTION: Final = re.compile(r"--([a-z][a-z-]*)")


def next_step(rights: KeyRights | None, trouble: UserStreamError | None) -> str:
    """`rights`: what the venue says of the key; `trouble`: why it did not say it."""
    match trouble:
        case None if rights is not None and not rights.read:
            return f"Let the key read at the venue's page, or say {OVERRIDE}"
        case None:
            return f"Take these rights from the key at the venue's page, or say {OVERRIDE}"
        case AuthenticationError():
            return "Nothing was kept: do what the venue's answer asks for, and try again"
        case ClockSkewed():
            return "Nothing was kept: set this machine's clock right, and try again"
        case RetryLater() | ConnectionError():
            return (
                "The venue gave no answer, so nothing was kept: check the network and the address (--rest-url), and try again; the key"
                " itself may be a good one"
            )
        case SettingsError():
            return f"Give the key's secret, too (--api-secret-file); one that is only to listen needs {OVERRIDE}"
        case _:
            return f"Where a venue does not tell what a key may do (a test network does not), say {OVERRIDE}"


def for_programs(text: str) -> str:
    """The same for whoever calls by HTTP: options of the command are fields of the request."""
    return _OPTION.sub(lambda found: found[1].replace("-", "_").removesuffix("_file"), text)
