"""Which keys an account may be run with: all combinations."""

from __future__ import annotations

import itertools

import pytest

from userstream.wire.rights import KeyRights, judge_rights


@pytest.mark.parametrize("monitor_only", [False, True])
def test_every_key_that_can_move_money_or_not_read_is_refused(monitor_only: bool) -> None:
    for read, trade, withdraw, transfer, restricted, odd in itertools.product((False, True), repeat=6):
        rights = KeyRights(
            read=read, trade=trade, withdraw=withdraw, transfer=transfer, ip_restricted=restricted, unknown=("permitsX",) if odd else ()
        )
        verdict = judge_rights(rights, monitor_only=monitor_only)
        assert len(verdict.refusals) == (not read) + withdraw + transfer + (trade and monitor_only)
        assert len(verdict.warnings) == (not restricted) + odd
        assert ("the key may withdraw" in verdict.refusals) is withdraw
        assert ("permitsX" in str(verdict.warnings)) is odd


def test_a_key_of_unknown_rights_is_refused() -> None:
    assert judge_rights(None).refusals == ("what the key may do is not known",)
