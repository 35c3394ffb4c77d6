# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SOAP calls as bytes: what the proxy must see of them, and the answers it can give itself."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from xml.sax.saxutils import escape

_METHOD = re.compile(rb"<(?:[\w.-]+:)?Body[^>]*>\s*<(?:[\w.-]+:)?([\w.-]+)")
_THIS = re.compile(rb"<(?:[\w.-]+:)?_this\b[^>]*?type=[\"'](?:[\w.-]+:)?([\w.]+)[\"'][^>]*>([^<]+)<")
_RETURN_TASK = re.compile(rb"<returnval type=\"Task\"[^>]*>([^<]+)</returnval>")
_COOKIE = re.compile(r"vmware_soap_session=\"?([^;\"\s]+)")

_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" '
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def is_ok(self) -> bool:
        return self.status == 200


@dataclass(frozen=True, slots=True)
class Call:
    """One SOAP request of a client."""

    method: str
    kind: str  # managed object type of _this
    moid: str
    body: bytes
    session: str  # cookie value, "" before the login

    @property
    def changes(self) -> bool:
        """Whether it may change what vcsim shows."""
        return self.method.endswith("_Task") or self.method in _CHANGING


_CHANGING = {
    "ShutdownGuest",
    "RebootGuest",
    "StandbyGuest",
    "UnregisterVM",
    "ReconfigureAutostart",
    "MarkAsTemplate",
    "MarkAsVirtualMachine",
    "AnswerVM",
}


def parse_call(body: bytes, cookie_header: str) -> Call:
    method = _METHOD.search(body)
    this = _THIS.search(body)
    cookie = _COOKIE.search(cookie_header)
    return Call(
        method.group(1).decode() if method else "",
        this.group(1).decode() if this else "",
        this.group(2).decode() if this else "",
        body,
        cookie.group(1) if cookie else "",
    )


def task_of(body: bytes) -> str | None:
    """The id of the task that an answer returns."""
    match = _RETURN_TASK.search(body)
    return match.group(1).decode() if match else None


def text_of(body: bytes, tag: str) -> str | None:
    """The text of the first element of this name."""
    match = re.search(rb"<(?:[\w.-]+:)?" + tag.encode() + rb"\b[^>]*>([^<]*)<", body)
    return match.group(1).decode() if match else None


def session_of(answer: Answer) -> str:
    """The session that an answer opens."""
    for key, value in answer.headers:
        found = _COOKIE.search(value) if key.lower() == "set-cookie" else None
        if found:
            return found.group(1)
    return ""


def answer(body: str, status: int = 200) -> Answer:
    content = _ENVELOPE.format(body=body).encode()
    return Answer(status, (("Content-Type", "text/xml; charset=utf-8"),), content)


def empty_answer(method: str) -> Answer:
    return answer(f'<{method}Response xmlns="urn:vim25"></{method}Response>')


def task_answer(method: str, task: str) -> Answer:
    return answer(
        f'<{method}Response xmlns="urn:vim25"><returnval type="Task">{escape(task)}</returnval></{method}Response>'
    )


def fault_answer(fault: str, text: str, details: t.Mapping[str, str] | None = None) -> Answer:
    """A SOAP fault of a vim type, e.g. ``fault_answer("ToolsUnavailable", "...")``."""
    inner = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in (details or {}).items())
    return answer(
        f"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{escape(text)}</faultstring><detail>"
        f'<{fault}Fault xmlns="urn:vim25" xsi:type="{fault}">{inner}</{fault}Fault></detail></soapenv:Fault>',
        status=500,
    )
