"""The errors of the classic surface."""

from userstream.kernel.errors import AuthenticationError, ConnectionError, UserStreamError

__all__ = ["AuthenticationError", "ConnectionError", "UserStreamError"]
