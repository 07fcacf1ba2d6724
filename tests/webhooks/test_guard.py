"""Where webhooks connect to: whatever a URL looks like, never to what is not allowed."""

import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest

from harness.receiver import Reply, running_receiver
from taskwell.core.settings import Settings
from taskwell.webhooks.guard import Guard, NotAllowed, NotResolved
from taskwell.webhooks.outgoing import Answer, Outgoing

# What leads to this machine or its network, in every spelling that a resolver knows.
HOSTILE = (
    "127.0.0.1", "localhost", "0.0.0.0", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]",
    "[::ffff:127.0.0.1]", "[::127.0.0.1]", "169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1",
    "100.64.0.1", "192.0.0.8", "224.0.0.1", "255.255.255.255", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
    "[fec0::1]", "[3fff::1]", "[fe80::1]", "[fd00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]",
)  # fmt: skip
PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")
LOCAL = "127.0.0.0/8"


class Resolver:
    """Answers with one list of addresses after the other, and with the last from then on."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def allowed(guard: Guard, host: str, *, encrypted: bool = True) -> bool:
    try:
        asyncio.run(guard.addresses(host, 443, encrypted=encrypted))
    except NotAllowed:
        return False
    return True


def post(url: str, guard: Guard) -> Answer:
    async def work() -> Answer:
        outgoing = Outgoing(Settings(), guard)
        try:
            return await outgoing.post(url, {}, b"{}")
        finally:
            await outgoing.close()

    return asyncio.run(work())


class TestAddresses:
    @pytest.mark.parametrize("host", HOSTILE)
    def test_private_ones_are_refused(self, host: str) -> None:
        for scheme in ("http", "https"):
            answer = post(f"{scheme}://{host}:9/", Guard())
            assert (answer.status, answer.error) in {(None, "not_allowed"), (None, "dns")}
            assert answer.error == "not_allowed" or host not in {"127.0.0.1", "localhost", "[::1]"}

    @pytest.mark.parametrize("address", PUBLIC)
    def test_public_ones_are_allowed_if_encrypted(self, address: str) -> None:
        guard = Guard(resolve=Resolver([address]))
        assert allowed(guard, "hooks.example.com")
        assert not allowed(guard, "hooks.example.com", encrypted=False)

    def test_one_private_among_several_is_enough(self) -> None:
        for private in ("127.0.0.1", "::1", "::ffff:10.0.0.1"):
            assert not allowed(Guard(resolve=Resolver([*PUBLIC, private])), "hooks.example.com")

    def test_a_name_without_any_is_told_apart(self) -> None:
        async def fails(_host: str, _port: int) -> Sequence[str]:
            raise socket.gaierror

        with pytest.raises(NotResolved):
            asyncio.run(Guard(resolve=fails).addresses("x", 443, encrypted=True))


class TestAllowed:
    def test_names_exactly_and_networks(self) -> None:
        guard = Guard(["homeassistant.local", "10.1.0.0/16"], Resolver(["192.168.1.2"]))
        for encrypted in (True, False):
            assert allowed(guard, "HomeAssistant.local.", encrypted=encrypted)
            assert not allowed(guard, "evil.homeassistant.local", encrypted=encrypted)
            assert allowed(Guard(["10.1.0.0/16"], Resolver(["10.1.2.3"])), "x", encrypted=encrypted)
            assert not allowed(Guard(["10.1.0.0/16"], Resolver(["10.2.2.3"])), "x", encrypted=encrypted)

    @pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254"])
    def test_metadata_only_if_written_out(self, address: str) -> None:
        for wide in ("0.0.0.0/0", "::/0", "169.0.0.0/8", "fd00::/8", "named"):
            assert not allowed(Guard([wide], Resolver([address])), "named")
        for own in ("169.254.0.0/16", "fd00:ec2::/32"):
            expected = (":" in own) == (":" in address)
            assert allowed(Guard([own], Resolver([address])), "named") == expected


class TestConnections:
    def test_go_to_the_address_that_was_checked(self) -> None:
        """A resolver that lies: what it says later is not asked, or is checked."""
        with running_receiver() as receiver:
            for answers in ([[PUBLIC[0]], ["127.0.0.1"]], [["127.0.0.1"]]):
                lying = Resolver(*answers)
                guard = Guard(resolve=lying)
                allowed(guard, "hooks.example.com")
                answer = post(f"https://hooks.example.com:{receiver.port}/", guard)
                assert answer.error == "not_allowed"
            trusted = Resolver(["127.0.0.1"], ["10.0.0.1"])
            answer = post(f"http://hooks.example.com:{receiver.port}/hook", Guard([LOCAL], trusted))
            assert (answer.status, trusted.asked) == (200, 1)
            (got,) = receiver.got
            assert got.headers["host"] == f"hooks.example.com:{receiver.port}"

    def test_are_tried_one_after_the_other(self) -> None:
        with running_receiver() as receiver:
            guard = Guard([LOCAL], Resolver(["127.0.0.2", "127.0.0.1"]))
            assert post(f"http://both.example.com:{receiver.port}/", guard).status == 200

    def test_follow_no_redirect(self) -> None:
        with running_receiver() as receiver:
            receiver.answer(302, location=receiver.url)
            answer = post(receiver.url, Guard([LOCAL]))
            assert (answer.status, answer.error, len(receiver.got)) == (302, "redirect", 1)

    def test_heed_no_proxy_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with running_receiver() as receiver, running_receiver() as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            assert post(receiver.url, Guard([LOCAL])).status == 200
            assert proxy.got == []

    def test_cut_long_answers(self) -> None:
        with running_receiver() as receiver:
            receiver.answering = lambda _: Reply(500, body=b"\xff" * 10_000_000)
            answer = post(receiver.url, Guard([LOCAL]))
            assert (answer.status, answer.text) == (500, "\ufffd" * 500)

    def test_say_what_went_wrong_in_our_words(self) -> None:
        with running_receiver() as receiver:
            assert post(f"https://127.0.0.1:{receiver.port}/", Guard([LOCAL])).error == "tls"
            port = receiver.port
        assert post(f"http://127.0.0.1:{port}/", Guard([LOCAL])).error == "refused"
        with socket.create_server(("127.0.0.1", 0)) as garbage:

            def talk() -> None:
                connection, _ = garbage.accept()
                connection.sendall(b"hello\r\n\r\n")
                connection.close()

            threading.Thread(target=talk, daemon=True).start()
            port = garbage.getsockname()[1]
            assert post(f"http://127.0.0.1:{port}/", Guard([LOCAL])).error == "broken"


class TestProxy:
    def test_gets_the_whole_url_and_decides(self) -> None:
        with running_receiver() as proxy:
            settings = Settings(webhook_proxy=f"http://me:secret@127.0.0.1:{proxy.port}")  # type: ignore[arg-type]

            async def work() -> Answer:
                outgoing = Outgoing(settings)
                await outgoing.check_url("http://10.0.0.1/x")
                try:
                    return await outgoing.post("http://hooks.invalid/x?y=1", {}, b"{}")
                finally:
                    await outgoing.close()

            assert asyncio.run(work()).status == 200
            (got,) = proxy.got
            assert got.path == "http://hooks.invalid:80/x?y=1"
            assert got.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
