"""The addresses of alerts: real deliveries to a webhook of this machine, and no address in anything that is shown."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.webhook import open_webhook
from userstream.adapters.apprise_notifier import INSTALL, hide_address, open_receivers, reason_of, scheme_of, silence_library
from userstream.adapters.deliveries import PAUSES_MS, TIME_LIMIT_MS, NotTaken, Receiver, ThreadedNotifier
from userstream.adapters.logs import REDACTOR
from userstream.adapters.metrics import PrometheusMetrics
from userstream.domain.alert_words import Notification
from userstream.domain.alerts import Severity
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret

CANARY = "T0Can4ryTok3nX9"


def notification(severity: Severity = Severity.CRITICAL, *, good: bool = False) -> Notification:
    return Notification(severity=severity, title="[CRITICAL] alice: margin call", body="BTCUSDT <long> & 1.327", is_good_news=good)


async def test_a_webhook_gets_title_words_and_kind() -> None:
    async with open_webhook() as webhook:
        [receiver] = open_receivers([Secret(webhook.url())])
        port: Receiver = receiver
        for sent, kind in (
            (notification(), "failure"),
            (notification(Severity.WARNING), "warning"),
            (notification(Severity.INFO), "info"),
            (notification(good=True), "success"),
        ):
            assert await asyncio.to_thread(port.deliver, sent)
            assert webhook.posted[-1].type == kind
        assert webhook.posted[0].title == "[CRITICAL] alice: margin call"
        assert webhook.posted[0].message == "BTCUSDT <long> & 1.327"


async def test_what_is_too_long_for_a_service_arrives_in_parts() -> None:
    lines = [f"account-{number}: margin call" for number in range(2_000)]
    async with open_webhook() as webhook:
        [receiver] = open_receivers([Secret(webhook.url())])
        long = Notification(severity=Severity.CRITICAL, title="[CRITICAL] 2000 alerts", body="\n".join(lines))
        assert await asyncio.to_thread(receiver.deliver, long)
        assert len(webhook.posted) > 1
        assert all(line in "".join(each.message for each in webhook.posted) for line in lines[::100])
        webhook.posted.clear()
        [receiver] = open_receivers([Secret(f"{webhook.url()}?overflow=truncate")])
        assert await asyncio.to_thread(receiver.deliver, long)
        assert len(webhook.posted) == 1, "whoever says otherwise in the address is heard"


async def test_what_is_refused_or_sent_elsewhere_did_not_arrive() -> None:
    async with open_webhook() as webhook, open_webhook() as elsewhere:
        [receiver] = open_receivers([Secret(webhook.url())])
        webhook.status = 500
        with pytest.raises(NotTaken, match=r"\AHTTP 500 Internal Server Error\Z"):
            await asyncio.to_thread(receiver.deliver, notification())
        webhook.status, webhook.location = 200, f"http://127.0.0.1:{elsewhere.port}/other"
        with pytest.raises(NotTaken, match=r"\AHTTP 307 Temporary Redirect\Z"):
            await asyncio.to_thread(receiver.deliver, notification())
        assert elsewhere.seen == [], "no redirect is followed: it could lead the words anywhere"


async def test_each_target_of_an_address_is_told_alone() -> None:
    async with open_webhook() as webhook:
        webhook.unknown_channels = {"gone"}
        receivers = open_receivers([Secret(webhook.url()), Secret(webhook.url_of_channels("desk", "gone"))])
        assert [each.name for each in receivers] == ["json 1", "mmost 2.1", "mmost 2.2"]
        assert [await asyncio.to_thread(each.deliver, notification()) for each in receivers[:2]] == [True, True]
        with pytest.raises(NotTaken):
            await asyncio.to_thread(receivers[2].deliver, notification())
        assert [each.channel for each in webhook.posted] == ["", "desk"]


async def test_a_wrong_chat_of_two_is_asked_again_and_the_right_one_is_not() -> None:
    clock = ManualClock()
    async with open_webhook() as webhook:
        webhook.unknown_channels = {"gone"}
        notifier = ThreadedNotifier(open_receivers([Secret(webhook.url_of_channels("gone", "desk"))]), clock, PrometheusMetrics())
        heard: list[bool] = []
        notifier.listen(lambda told, is_taken: heard.append(is_taken))
        notifier.notify(notification())
        for asked in range(1, 4):
            await until(lambda asked=asked: webhook.asked.count("gone") == asked and heard == [True], clock)  # type: ignore[misc]
            await until(lambda: notifier.waiting == 1 and clock.next_due != clock.now() + TIME_LIMIT_MS, clock)
            await clock.advance(PAUSES_MS[asked - 1])
        assert webhook.asked.count("desk") == 1, "whoever was told is not told again for others"
        assert heard == [True]
        await notifier.close(limit_ms=0)


async def until(holds: Callable[[], bool], clock: ManualClock) -> None:
    """Real threads need real turns; the clock stands still."""
    for _ in range(10_000):
        await clock.settle()
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (f"tgram://123456789:{CANARY * 3}/-100200300/-55555", ["tgram 1.1", "tgram 1.2"]),
        (f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}ABCDEFGHI/#desk", ["slack 1"]),
        (f"mailtos://user:{CANARY}@example.com?to=a@example.com,b@example.com", ["mailtos 1.1", "mailtos 1.2"]),
        (f"ifttt://{CANARY}@one/two", ["ifttt 1"]),
    ],
)
def test_a_receiver_is_one_target_where_the_service_can_be_told_so(url: str, names: list[str]) -> None:
    assert [each.name for each in open_receivers([Secret(url)])] == names


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"json://127.0.0.1:1/{CANARY}", "connection refused"),
        (f"json://{CANARY}.invalid/x?token={CANARY}", "name does not resolve"),
        (f"mailto://desk:{CANARY}@127.0.0.1:1?from=a@example.com&to=b@example.com", "connection refused"),
    ],
)
def test_a_place_where_nobody_listens_is_told_in_our_own_words(url: str, words: str) -> None:
    [receiver] = open_receivers([Secret(url)])
    with pytest.raises(NotTaken) as told:
        receiver.deliver(notification())
    assert str(told.value) == words


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (f"Failed to send JSON POST notification: Service not found., error=404. {CANARY}", "HTTP 404 Not Found"),
        (f"Failed to send, error = 799: {CANARY}", "HTTP 799"),
        (f"Socket Exception: ConnectTimeoutError(url: /{CANARY}, Connection to {CANARY} timed out.", "no answer in time"),
        (f"Socket Exception: SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] {CANARY}", "certificate not trusted"),
        (f"Socket Exception: (535, b'5.7.8 {CANARY}')", "the server refuses user or password"),
        (f"Socket Exception: {CANARY}", ""),
        (f"JSON POST URL: https://x/{CANARY}?timed+out", ""),
    ],
)
def test_what_the_library_writes_is_kept_in_our_words_alone(told: str, words: str) -> None:
    assert reason_of(told) == words


def test_a_line_that_cannot_be_written_is_nobodys_business(capsys: pytest.CaptureFixture[str]) -> None:
    silence_library()
    logging.getLogger("apprise").warning("%d", CANARY)
    assert CANARY not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        (["nonsense"], "address 1 is no address at all"),
        (["json://127.0.0.1", f"slack://{CANARY}"], "address 2 is of the kind slack, but not as apprise writes it"),
        ([f"madeup://{CANARY}"], "address 1 is of the kind madeup"),
    ],
)
def test_what_is_no_address_is_told_by_its_number(urls: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        open_receivers([Secret(url) for url in urls])
    assert CANARY not in str(caught.value) and caught.value.__cause__ is None


async def test_neither_names_nor_logs_nor_the_library_show_an_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_webhook() as webhook:
        webhook.status = 503
        url = f"json://desk:{CANARY}@127.0.0.1:{webhook.port}/services/{CANARY}?token={CANARY}"
        [receiver] = open_receivers([Secret(url)])
        with pytest.raises(NotTaken) as told:
            await asyncio.to_thread(receiver.deliver, notification())
        assert str(told.value) == "HTTP 503 Service Unavailable"
        assert webhook.seen, "it was there, and it failed"
    assert CANARY not in repr(receiver) + receiver.name + caplog.text
    assert receiver.name == "json 1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"tgram://123456789:{CANARY}/-100200300", f"POST /bot123456789:{CANARY}/sendMessage failed"),
        (f"slack://TokenAAA1/TokenBBB2/{CANARY}", f"hooks.slack.com/services/TokenAAA1/TokenBBB2/{CANARY}"),
        (f"mailto://desk:p%40ss{CANARY}@mail.example", f"535 refused p@ss{CANARY}"),
        (f"json://127.0.0.1/x?token={CANARY}", f"GET /x?token={CANARY}"),
        (f"json://127.0.0.1?token={CANARY}", f"GET /?token={CANARY}"),
        (f"https://hooks.slack.com/services/TokenAAA1/TokenBBB2/{CANARY}", f"POST /services/TokenAAA1/TokenBBB2/{CANARY}"),
        (f"{CANARY.lower()}://{CANARY}", f"no such host: {CANARY}"),
        (f"mailtos://user:x{CANARY}@example.com?to=night@example.com", f"login with x{CANARY} at example.com refused"),
        (f"mailtos://user:a?{CANARY}@example.com?to=night@example.com", f"login with a?{CANARY} refused"),
        (f"pbul://o.{CANARY}", f"GET /v2/pushes with o.{CANARY}"),
        (f"pbul://o.{CANARY.lower()}/#channel", f"token o.{CANARY.lower()} refused"),
    ],
)
def test_no_part_of_an_address_that_may_be_a_token_is_logged(url: str, shown: str) -> None:
    hide_address(Secret(url))
    assert CANARY.lower() not in REDACTOR.clean(shown).lower() and CANARY.lower() not in REDACTOR.clean(url).lower().partition("://")[2]
    assert "TokenAAA1" not in REDACTOR.clean(shown)


@pytest.mark.parametrize(
    ("number", "form"),
    list(
        enumerate(
            [
                "json://host.example.com/?tokens={},hooks.example.com,{}",
                "json://host.example.com/?tokens={}%2C%20hooks.example.com%2c{}",
                "json://host.example.com/{},{}",
                "mailto://desk:PassWord12@mail.example.com?to=ops@example.com,hooks.example.com,{},{}",
            ]
        )
    ),
)
def test_each_secret_of_a_list_is_hidden_and_the_places_between_are_not(number: int, form: str) -> None:
    secrets = (f"{number}Abc123Def456", f"{number}Ghi789Jkl012")
    hide_address(Secret(form.format(*secrets)))
    for secret in secrets:
        assert REDACTOR.clean(f"{secret} refused by hooks.example.com") == "*** refused by hooks.example.com"


def test_a_token_with_commas_is_hidden_as_a_whole() -> None:
    hide_address(Secret("json://host.example.com/?token=aB1,cD2,eF3,gH4"))
    assert REDACTOR.clean("GET with aB1,cD2,eF3,gH4 failed") == "GET with *** failed"


def test_a_short_password_of_the_documents_own_example_is_hidden_and_its_places_are_not() -> None:
    words = "login with hunter2 at example.com refused"
    assert REDACTOR.clean(words) == words
    hide_address(Secret("mailtos://user:hunter2@example.com?to=night@example.com"))
    assert REDACTOR.clean(words) == "login with *** at example.com refused"


def test_common_words_of_an_address_do_not_blind_the_logs() -> None:
    hide_address(Secret("json://userstream@127.0.0.1:8080/alertmanager?redirect=no"))
    hide_address(Secret("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"))
    hide_address(Secret("mailtos://desk:pA55word@example.com"))
    hide_address(Secret("mailtos://desk:pA55word@example.com?to=a@mail.example.com,b@hooks.slack.com"))
    line = "userstream.run alertmanager redirect 127.0.0.1:8080 https://fapi.binance.com mailtos: hooks.slack.com localhost"
    assert REDACTOR.clean(line) == line


@pytest.mark.parametrize(("url", "scheme"), [("TGRAM://x", "tgram"), ("json:/x", ""), ("", ""), ("://x", ""), ("a b://x", "")])
def test_the_kind_of_an_address_is_no_secret(url: str, scheme: str) -> None:
    assert scheme_of(Secret(url)) == scheme


def test_without_the_library_it_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "apprise.py").write_text("raise ModuleNotFoundError('No module named apprise', name='apprise')\n")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from userstream.adapters.apprise_notifier import open_receivers\n"
        "from userstream.kernel.errors import SettingsError\n"
        "try:\n    open_receivers([])\nexcept SettingsError as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.strip() == INSTALL


def test_nobody_else_pays_for_the_library() -> None:
    program = (
        "import sys, userstream.entry.configuration, userstream.entry.cli.run, userstream.entry.alerts; print('apprise' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.strip() == "False"
