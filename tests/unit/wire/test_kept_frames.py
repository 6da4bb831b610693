"""What of a frame is kept: all but the listen key."""

from __future__ import annotations

import pytest

from userstream.wire.kept_frames import without_key


@pytest.mark.parametrize(
    ("frame", "kept"),
    [
        (b'{"e":"listenKeyExpired","listenKey" : "abc","E":1}', b'{"e":"listenKeyExpired","listenKey" : "***","E":1}'),
        (b'{"stream":"abc","data":{"e":"x"}}', b'{"stream":"***","data":{"e":"x"}}'),
        (b'{"e":"ORDER_TRADE_UPDATE","stream":"abc"}', b'{"e":"ORDER_TRADE_UPDATE","stream":"abc"}'),
    ],
)
def test_a_listen_key_is_not_kept(frame: bytes, kept: bytes) -> None:
    assert without_key(frame) == kept
