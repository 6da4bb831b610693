"""`userstream alerts`: does what is to tell people reach them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter

from userstream.entry.cli.accounts import DEFAULT_CONFIG, Json
from userstream.entry.cli.output import say

if TYPE_CHECKING:
    from userstream.domain.alert_words import Notification
    from userstream.entry.alert_settings import AlertTarget

Config = Annotated[Path, Parameter(help="The configuration file; its [alerts] is used.")]
LONGEST_MS: Final = 120_000

alerts = App(
    name="alerts",
    help="Whom the service tells of trouble: the table [alerts] of the configuration file.\n\nExample: userstream alerts test",
)


class Delivered(msgspec.Struct, frozen=True):
    """What became of one test message at one receiver: sent, failed, timed_out or dropped, and why."""

    receiver: str
    severity: str
    outcome: str
    reason: str


@alerts.command
def test(*, config: Config = DEFAULT_CONFIG, json: Json = False) -> int:
    """Send one message of each severity to every receiver, and say what happened.

    Each is tried once. Exit code 1 when one of them was not taken. Example: `userstream alerts test --config userstream.toml`
    """
    import asyncio

    from userstream.adapters.logs import configure_logs
    from userstream.entry.configuration import read_alerts

    target = read_alerts(config)
    configure_logs(level="error")
    results = asyncio.run(_send_all(target))
    if json:
        say(msgspec.json.encode(results).decode())
    else:
        for each in results:
            say(f"{each.receiver:16} {each.severity:9} {each.outcome.replace('_', ' ')}{each.reason and f': {each.reason}'}")
    return 0 if all(each.outcome == "sent" for each in results) else 1


async def _send_all(target: AlertTarget) -> list[Delivered]:
    import asyncio

    from userstream.adapters.apprise_notifier import open_receivers
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.deliveries import End, ThreadedNotifier
    from userstream.adapters.metrics import PrometheusMetrics

    results: list[Delivered] = []

    def note(receiver: str, notification: Notification, end: End) -> None:
        results.append(Delivered(receiver, notification.severity.value, end.outcome.value, end.reason))

    receivers = await asyncio.to_thread(open_receivers, target.urls)
    notifier = ThreadedNotifier(
        receivers, SystemClock(), PrometheusMetrics(), time_limit_ms=target.time_limit_ms, pauses_ms=(), on_outcome=note
    )
    for notification in _tests():
        notifier.notify(notification)
    await notifier.close(limit_ms=LONGEST_MS)
    return results


def _tests() -> list[Notification]:
    from userstream.domain.alert_words import Notification
    from userstream.domain.alerts import Severity

    return [
        Notification(
            severity=severity,
            title=f"[{severity.upper()}] userstream: a test",
            body="Nothing is wrong: somebody wanted to see whether this arrives.",
        )
        for severity in reversed(Severity)
    ]
