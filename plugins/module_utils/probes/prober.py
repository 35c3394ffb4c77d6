# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask whether a service answers, until every check is ok or time is up; says which copy answered where that can be seen."""

from __future__ import annotations

import functools
import json
import socket
import time
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import Check
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import CheckResult, ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, Progress
from ansible_collections.ferragosto.dr.plugins.module_utils.core.verify import Expected, in_order, read_service
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.together import ask_all
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.wire import (
    MAX_BODY_BYTES,
    Answer,
    ProbeError,
    Request,
    fetch,
    said,
)

EVERY_S = 1.0
_SLACK_S = 0.5  # a check's own limit speaks first; this one is for a name server that hangs
_ANSWER_BYTES = 4096  # a health page's own words are kept as evidence, a whole catalogue is not


def check_service(
    checks: Sequence[Check],
    *,
    address: str | None,
    deadline_s: float,
    expected_copy: Expected = None,
    clock: Clock,
    progress: Progress,
) -> ServiceReading:
    """Ask in rounds until one whole round is ok. ``deadline_s`` 0 asks exactly once; ``address`` serves bare ports."""
    ordered = in_order(checks)
    if not ordered:
        return read_service(())
    deadline = clock.now_s() + deadline_s
    told: dict[str, tuple[bool, str]] = {}
    while True:
        limit_s = max(1.0, deadline - clock.now_s()) if deadline_s > 0 else None
        reading = read_service(_round(ordered, address, limit_s), expected_copy)
        _tell_changes(reading.checks, told, progress)
        left_s = deadline - clock.now_s()
        if reading.answers or left_s <= 0:
            return reading
        clock.sleep(min(EVERY_S, left_s))


def check_once(check: Check, *, address: str | None, timeout_s: float) -> CheckResult:
    """Ask one check once."""
    started = time.monotonic()
    copy: str | None = None
    answer: Mapping[str, object] = {}
    try:
        if check.kind == "tcp":
            detail = _tcp(check.host or address, check.port, timeout_s)
        else:
            detail, copy, answer = _http(check, timeout_s)
        is_ok = True
    except ProbeError as error:
        is_ok, detail = False, str(error)
    return CheckResult(
        check=check.label(address),
        kind=check.kind,
        is_ok=is_ok,
        detail=detail,
        took_s=round(time.monotonic() - started, 3),
        copy=copy,
        answer=answer,
    )


def connects(host: str, port: int, timeout_s: float) -> str:
    """Open and close one TCP connection. Raise ProbeError with the reason."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return "open"
    except TimeoutError as error:
        raise ProbeError(f"no answer in {timeout_s:g} s") from error
    except OSError as error:
        raise ProbeError(said(error)) from error
    except UnicodeError as error:
        raise ProbeError(f"{host!r} is not a host name") from error


def _round(ordered: Sequence[Check], address: str | None, limit_s: float | None) -> list[CheckResult]:
    limits = [check.timeout_s if limit_s is None else min(check.timeout_s, limit_s) for check in ordered]
    questions = [
        functools.partial(check_once, check, address=address, timeout_s=timeout_s)
        for check, timeout_s in zip(ordered, limits, strict=True)
    ]

    def late(number: int) -> CheckResult:
        check = ordered[number]
        return CheckResult(
            check=check.label(address),
            kind=check.kind,
            is_ok=False,
            detail=f"no answer in {limits[number]:g} s",
            took_s=limits[number],
        )

    return ask_all(questions, within_s=max(limits) + _SLACK_S, late=late)


def _tell_changes(results: Sequence[CheckResult], told: dict[str, tuple[bool, str]], progress: Progress) -> None:
    for result in results:
        said_now = (result.is_ok, result.detail)
        if told.get(result.check) != said_now:
            told[result.check] = said_now
            progress(f"{result.check}: {'ok, ' if result.is_ok else ''}{result.detail}")


def _tcp(host: str | None, port: int, timeout_s: float) -> str:
    if not host:
        raise ProbeError("the address of the VM is not known: write host:port in the check")
    return connects(host, port, timeout_s)


def _http(check: Check, timeout_s: float) -> tuple[str, str | None, Mapping[str, object]]:
    found = fetch(
        Request(url=check.url, timeout_s=timeout_s, ca_path=check.ca_path, tls_fingerprint=check.tls_fingerprint)
    )
    _require_status(check, found)
    if check.contains is not None and check.contains not in found.body.decode("utf-8", "replace"):
        raise ProbeError(f"status {found.status}, but the answer does not contain {check.contains!r}{_cut(found)}")
    document = _document(found)
    copy = _copy(check, document, found) if check.identity is not None else None
    by = f" from {copy}" if copy else ""
    return f"status {found.status}{by}", copy, _kept(document)


def _require_status(check: Check, found: Answer) -> None:
    fits = found.status in check.statuses if check.statuses else 200 <= found.status < 300
    if not fits:
        wanted = " or ".join(str(status) for status in check.statuses) or "2xx"
        raise ProbeError(f"status {found.status}, expected {wanted}")


def _document(found: Answer) -> object:
    if found.is_cut:
        return None
    try:
        return t.cast("object", json.loads(found.body))
    except (ValueError, RecursionError):
        return None


def _copy(check: Check, document: object, found: Answer) -> str:
    """Return the copy that the answer names; an answer that should tell and does not is no proof of the right one."""
    value = document
    for key in (check.identity or "").split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ProbeError(
            f"status {found.status}, but the answer does not tell its copy ({check.identity}){_cut(found)}"
        )
    return str(value)


def _kept(document: object) -> Mapping[str, object]:
    if not isinstance(document, dict) or len(json.dumps(document)) > _ANSWER_BYTES:
        return {}
    return t.cast("Mapping[str, object]", document)


def _cut(found: Answer) -> str:
    return f" (only the first {MAX_BODY_BYTES // 1024} KiB were read)" if found.is_cut else ""
