# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WS-Management envelopes: what a client asks, and the answers in the shapes that Windows gives (MS-WSMV, recordings)."""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.errors import WsmanFault, bad_action, bad_xml

NAMESPACES = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
}
SHELL = NAMESPACES["rsp"]
CMD = f"{SHELL}/cmd"
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
TRANSFER = NAMESPACES["x"]
FAULT = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
CALLS = {
    f"{TRANSFER}/Create": "Create",
    f"{SHELL}/Command": "Command",
    f"{SHELL}/Send": "Send",
    f"{SHELL}/Receive": "Receive",
    f"{SHELL}/Signal": "Signal",
    f"{TRANSFER}/Delete": "Delete",
    f"{TRANSFER}/Get": "Get",
}
_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One call of a client. ``timeout_s`` and ``max_bytes`` are what it allows for the answer."""

    call: str
    action: str
    message_id: str
    resource: str
    to: str = ""
    shell_id: str = ""
    timeout_s: float = 60.0
    max_bytes: int = 153600
    options: Mapping[str, str] = field(default_factory=dict)
    body: ET.Element = field(repr=False)

    def find(self, path: str) -> ET.Element | None:
        return self.body.find(path, NAMESPACES)

    def text(self, path: str, default: str = "") -> str:
        found = self.find(path)
        return default if found is None else found.text or ""

    def texts(self, path: str) -> list[str]:
        return [found.text or "" for found in self.body.findall(path, NAMESPACES)]

    def is_on(self, option: str, default: bool = False) -> bool:
        """Whether an option is TRUE, as clients spell it: TRUE, True, 1."""
        return self.options.get(option, str(default)).strip().upper() in ("TRUE", "1")


def read_envelope(content: bytes) -> Envelope:
    """Read a client's call. Raises WsmanFault for what is no call at all; its ``relates_to`` says of which."""
    try:
        root = ET.fromstring(content)
    except ET.ParseError as bad:
        raise bad_xml(str(bad)) from None
    header, body = root.find("s:Header", NAMESPACES), root.find("s:Body", NAMESPACES)
    if header is None or body is None:
        raise bad_xml("it has no header or no body")
    said = {path: (header.findtext(path, "", NAMESPACES) or "").strip() for path in _HEADERS}
    message_id = said["a:MessageID"]
    action = said["a:Action"]
    if action not in CALLS:
        raise bad_action(action).answering(message_id)
    try:
        timeout_s = seconds_of(said["w:OperationTimeout"]) if said["w:OperationTimeout"] else 60.0
    except WsmanFault as bad:
        raise bad.answering(message_id) from None
    selectors = {s.get("Name"): s.text or "" for s in header.findall("w:SelectorSet/w:Selector", NAMESPACES)}
    return Envelope(
        call=CALLS[action],
        action=action,
        message_id=message_id,
        resource=said["w:ResourceURI"],
        to=said["a:To"],
        shell_id=selectors.get("ShellId", "").upper(),
        timeout_s=timeout_s,
        max_bytes=int(said["w:MaxEnvelopeSize"]) if said["w:MaxEnvelopeSize"].isdigit() else 153600,
        options={o.get("Name", ""): o.text or "" for o in header.findall("w:OptionSet/w:Option", NAMESPACES)},
        body=body,
    )


_HEADERS = ("a:MessageID", "a:Action", "a:To", "w:ResourceURI", "w:OperationTimeout", "w:MaxEnvelopeSize")


def seconds_of(duration: str) -> float:
    """Read an xs:duration ("PT20S", "P0DT1H2M3.5S"); a negative one is a fault, as on Windows."""
    found = _DURATION.fullmatch(duration.strip())
    if found is None or found[1]:
        raise WsmanFault(
            2150858767,
            "a:InvalidMessageInformationHeader",
            "The WS-Management service cannot process the request. The request contains one or more invalid SOAP headers. ",
            "The WS-Management service cannot process the request. "
            f"The XML contains an invalid timeout field in the SOAP header: {duration}. ",
        )
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups()[1:])
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def answer(call: Envelope, body: str, *spaces: str) -> bytes:
    """Put a body into the envelope that answers a call; ``spaces`` are the prefixes it declares besides s, a, w and p."""
    kind = f"{call.action}Response"
    return _envelope(kind, call.message_id, body, {name: NAMESPACES[name] for name in ("s", "a", *spaces, "w", "p")})


def answer_fault(fault: WsmanFault, machine: str) -> bytes:
    spaces = {name: NAMESPACES[name] for name in ("s", "a", "x", "w", "p")}
    return _envelope(FAULT, fault.relates_to, fault.body(machine), spaces)


def text(value: object) -> str:
    """Escape a value for an element or an attribute."""
    return escape(str(value), {'"': "&quot;"})


def new_id() -> str:
    return str(uuid.uuid4()).upper()


def _envelope(action: str, relates_to: str, body: str, spaces: Mapping[str, str]) -> bytes:
    declared = " ".join(f'xmlns:{name}="{uri}"' for name, uri in spaces.items())
    related = f"<a:RelatesTo>{text(relates_to)}</a:RelatesTo>" if relates_to else ""
    return (
        f'<s:Envelope xml:lang="en-US" {declared}><s:Header><a:Action>{text(action)}</a:Action>'
        f"<a:MessageID>uuid:{new_id()}</a:MessageID><a:To>{ANONYMOUS}</a:To>{related}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()
