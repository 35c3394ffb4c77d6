# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prober asks real sockets and real servers, and believes only the copy that is meant."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import Check, read_checks
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import CheckResult, ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.prober import check_once, check_service
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.wire import MAX_BODY_BYTES
from ansible_collections.ferragosto.dr.tests.unit.probes.servers import (
    Asked,
    Certificates,
    Reply,
    closed_port,
    dripping,
    listening,
    serving,
)

HEALTH = json.dumps({"status": "fine", "copy": {"id": "replica-1"}, "data_at": "2026-08-14T22:13:20Z"}).encode()


class Clock:
    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.05))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def ask(check: Mapping[str, object], *, address: str | None = "127.0.0.1", timeout_s: float = 2.0) -> CheckResult:
    (read,) = read_checks([check])
    return check_once(read, address=address, timeout_s=timeout_s)


def service(
    checks: list[Check], *, deadline_s: float = 0.0, expected: str | None = None, told: list[str] | None = None
) -> ServiceReading:
    lines = told if told is not None else []
    return check_service(
        checks, address="127.0.0.1", deadline_s=deadline_s, expected_copy=expected, clock=Clock(), progress=lines.append
    )


def test_an_open_port_is_ok_and_a_closed_one_is_refused() -> None:
    with listening() as port:
        found = ask({"tcp": port})
    assert (found.check, found.is_ok, found.detail) == (f"tcp 127.0.0.1:{port}", True, "open")
    found = ask({"tcp": f"127.0.0.1:{closed_port()}"}, address=None)
    assert (found.is_ok, found.detail) == (False, "connection refused")


def test_a_bare_port_needs_the_address_of_the_vm() -> None:
    found = ask({"tcp": 1433}, address=None)
    assert (found.check, found.is_ok) == ("tcp the VM:1433", False)
    assert "write host:port" in found.detail


@pytest.mark.parametrize(
    ("reply", "check", "is_ok", "detail"),
    [
        (Reply(body=HEALTH), {}, True, "status 200"),
        (Reply(status=204), {}, True, "status 204"),
        (Reply(status=500, body=b"oops"), {}, False, "status 500, expected 2xx"),
        (Reply(status=503), {"status": [200, 503]}, True, "status 503"),
        (Reply(), {"status": 204}, False, "status 200, expected 204"),
        (Reply(body=HEALTH), {"contains": "fine"}, True, "status 200"),
        (Reply(body="è in funzione".encode()), {"contains": "è in"}, True, "status 200"),
        (Reply(body=HEALTH), {"contains": "good"}, False, "status 200, but the answer does not contain 'good'"),
        (Reply(body=HEALTH), {"identity": "copy.id"}, True, "status 200 from replica-1"),
        (Reply(body=HEALTH), {"identity": "copy.name"}, False, "does not tell its copy (copy.name)"),
        (Reply(body=HEALTH), {"identity": "copy"}, False, "does not tell its copy (copy)"),
        (Reply(body=b"[1]"), {"identity": "copy"}, False, "does not tell its copy"),
        (Reply(body=b"<html>"), {"identity": "copy"}, False, "does not tell its copy"),
        (Reply(body=b"x" * (MAX_BODY_BYTES + 9)), {"contains": "y"}, False, "only the first 256 KiB were read"),
        (Reply(body=b"[" * 9999), {"identity": "copy"}, False, "does not tell its copy"),
    ],
)
def test_an_http_answer_is_judged_by_status_words_and_identity(
    reply: Reply, check: dict[str, object], is_ok: bool, detail: str
) -> None:
    with serving(lambda asked: reply) as server:
        found = ask({"http": f"{server.url}/health", **check})
    assert found.is_ok is is_ok
    assert detail in found.detail


def test_the_answer_is_kept_as_evidence() -> None:
    with serving(lambda asked: Reply(body=HEALTH)) as server:
        found = ask({"http": f"{server.url}/h?a=b c".replace(" ", "%20"), "identity": "copy.id"})
    assert (found.copy, found.answer["data_at"]) == ("replica-1", "2026-08-14T22:13:20Z")
    assert server.asked[0].path == "/h?a=b%20c"


@pytest.mark.parametrize(("hops", "is_ok"), [(0, True), (1, True), (3, True), (4, False), (99, False)])
def test_a_few_redirects_are_followed(hops: int, is_ok: bool) -> None:
    def reply(asked: Asked) -> Reply:
        hop = int(asked.path.strip("/"))
        return Reply() if hop == 0 else Reply(status=302, headers={"Location": f"/{hop - 1}"})

    with serving(reply) as server:
        found = ask({"http": f"{server.url}/{hops}"})
    assert found.is_ok is is_ok
    assert len(server.asked) <= 4
    assert is_ok or "more than 3 redirects" in found.detail


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://[::1/"])
def test_a_redirect_that_leaves_http_is_not_followed(target: str) -> None:
    with serving(lambda asked: Reply(status=301, headers={"Location": target})) as server:
        found = ask({"http": f"{server.url}/"})
    assert not found.is_ok
    assert "it redirects to" in found.detail


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(lambda asked: Reply()) as server:
        assert ask({"http": server.url}).is_ok


def test_https_is_verified_by_the_authority_given(tmp_path: Path, stack: ExitStack) -> None:
    ours, foreign = Certificates(tmp_path), Certificates(tmp_path)
    server = stack.enter_context(serving(lambda asked: Reply(), tls=ours.context()))
    assert ask({"http": server.url, "ca_path": ours.ca_path}).is_ok
    for check in ({"http": server.url}, {"http": server.url, "ca_path": foreign.ca_path}):
        found = ask(check)
        assert not found.is_ok
        assert "its certificate is not trusted" in found.detail
    assert len(server.asked) == 1
    found = ask({"http": server.url, "ca_path": str(tmp_path / "none.pem")})
    assert "none.pem cannot be used: no such file" in found.detail


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, stack: ExitStack) -> None:
    other = Certificates(tmp_path, name="other.example")
    server = stack.enter_context(serving(lambda asked: Reply(), tls=other.context()))
    found = ask({"http": server.url, "ca_path": other.ca_path})
    assert not found.is_ok
    assert "127.0.0.1" in found.detail


def test_a_pinned_certificate_needs_no_authority_and_no_other_one_passes(tmp_path: Path, stack: ExitStack) -> None:
    ours, foreign = Certificates(tmp_path), Certificates(tmp_path)
    server = stack.enter_context(serving(lambda asked: Reply(), tls=ours.context()))
    assert ask({"http": server.url, "tls_fingerprint": ours.fingerprint()}).is_ok
    found = ask({"http": server.url, "tls_fingerprint": foreign.fingerprint()})
    assert not found.is_ok
    assert f"another one: SHA-256 {ours.fingerprint()}" in found.detail
    assert len(server.asked) == 1


def test_there_is_no_way_back_from_tls(tmp_path: Path, stack: ExitStack) -> None:
    ours = Certificates(tmp_path)
    bare = stack.enter_context(serving(lambda asked: Reply()))
    server = stack.enter_context(
        serving(lambda asked: Reply(status=302, headers={"Location": bare.url}), tls=ours.context())
    )
    found = ask({"http": server.url, "ca_path": ours.ca_path})
    assert "no way back from TLS" in found.detail
    assert bare.asked == []


def test_what_speaks_no_http_is_said_so() -> None:
    with listening() as port:
        found = ask({"http": f"http://127.0.0.1:{port}/"}, timeout_s=0.3)
        assert found.detail == "no answer in 0.3 s"
        assert (
            "TLS failed" in ask({"http": f"https://127.0.0.1:{port}/"}, timeout_s=0.3).detail
            or "no answer" in found.detail
        )
    with serving(lambda asked: Reply()) as server:
        found = ask({"http": f"https://127.0.0.1:{server.port}/"})
        assert "TLS failed" in found.detail


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_a_slow_drip_of_header_or_body_does_not_outlast_its_limit(head: bytes) -> None:
    with dripping(head) as port:
        started = time.monotonic()
        reading = service(read_list({"http": f"http://127.0.0.1:{port}/", "timeout": "0.4s"}))
        assert time.monotonic() - started < 2.0
    assert reading.answers is False
    assert "no answer in 0.4 s" in reading.reason


def read_list(*checks: Mapping[str, object]) -> list[Check]:
    return list(read_checks(list(checks)))


def test_no_check_means_unknown_and_nothing_is_asked() -> None:
    told: list[str] = []
    assert service([], deadline_s=5.0, told=told).answers is None
    assert told == []


def test_without_a_deadline_it_asks_exactly_once() -> None:
    with serving(lambda asked: Reply(status=500)) as server:
        assert service(read_list({"http": server.url})).answers is False
    assert len(server.asked) == 1


def test_it_asks_until_the_service_is_up_and_tells_each_change_once() -> None:
    replies = iter([Reply(status=503), Reply(status=503), Reply(body=HEALTH)])
    told: list[str] = []
    with serving(lambda asked: next(replies)) as server, listening() as port:
        reading = service(read_list({"http": server.url}, {"tcp": port}), deadline_s=10.0, told=told)
    assert reading.answers is True
    assert [check.kind for check in reading.checks] == ["tcp", "http"]
    assert told == [
        f"tcp 127.0.0.1:{port}: ok, open",
        f"http {server.url}: status 503, expected 2xx",
        f"http {server.url}: ok, status 200",
    ]


def test_it_gives_up_at_the_deadline() -> None:
    started = time.monotonic()
    reading = service(read_list({"tcp": f"127.0.0.1:{closed_port()}"}), deadline_s=0.4)
    assert reading.answers is False
    assert 0.3 < time.monotonic() - started < 3.0


@pytest.mark.parametrize(("expected", "answers"), [("replica-1", True), ("prod-1", False), (None, True)])
def test_the_wrong_copy_is_no_answer(expected: str | None, answers: bool) -> None:
    with serving(lambda asked: Reply(body=HEALTH)) as server:
        reading = service(read_list({"http": server.url, "identity": "copy.id"}), expected=expected)
    assert reading.answers is answers
    assert answers or "the wrong copy answers: replica-1, expected prod-1" in reading.reason


def test_checks_are_asked_side_by_side() -> None:
    barrier = threading.Barrier(3, timeout=5)

    def reply(asked: Asked) -> Reply:
        barrier.wait()
        return Reply()

    with serving(reply) as server:
        checks = read_list(*({"http": f"{server.url}/{n}"} for n in range(3)))
        assert service(checks).answers is True
