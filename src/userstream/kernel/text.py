"""Text of others, made fit to be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything a terminal or a log could obey replaced, line ends too."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
