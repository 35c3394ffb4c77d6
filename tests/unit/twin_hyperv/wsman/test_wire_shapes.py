# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answers have the shapes that pypsrp recorded from Windows: elements, their order, their attributes, fixed words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from winrm.exceptions import WinRMOperationTimeoutError, WinRMTransportError, WSManFaultError

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.soap import NAMESPACES
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.wire_kit import Door, door

HEADER = ["a:Action", "a:MessageID", "a:To", "a:RelatesTo"]
FAULT = [
    "s:Fault",
    "s:Fault/s:Code",
    "s:Fault/s:Code/s:Value",
    "s:Fault/s:Code/s:Subcode",
    "s:Fault/s:Code/s:Subcode/s:Value",
    "s:Fault/s:Reason",
    "s:Fault/s:Reason/s:Text lang",
    "s:Fault/s:Detail",
]
FAULT_DETAIL = "s:Fault/s:Detail/w:FaultDetail"
WSMAN_FAULT = ["s:Fault/s:Detail/f:WSManFault Code Machine", "s:Fault/s:Detail/f:WSManFault/f:Message"]
OF_CMD = "s:Fault/s:Detail/f:WSManFault/f:Message/f:ProviderFault path provider"
SELECTORS = "x:ResourceCreated/a:ReferenceParameters/w:SelectorSet"
SHELL = ("ShellId", "ResourceUri", "Owner", "ClientIP", "IdleTimeOut", "InputStreams", "OutputStreams")
RECEIVED, STATE = "rsp:ReceiveResponse/rsp:Stream", "rsp:ReceiveResponse/rsp:CommandState"
ALL = NAMESPACES | {"f": "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"}
PREFIXES = {uri: prefix for prefix, uri in ALL.items()}


def paths(element: ET.Element, above: str = "") -> Iterator[str]:
    """Every element as prefix:name below its parents, with the names of its attributes."""
    for child in element:
        uri, name = re.fullmatch(r"\{(.*)\}(.*)", child.tag).groups()
        path = f"{above}{PREFIXES[uri]}:{name}"
        yield " ".join([path, *sorted(key.rpartition("}")[2] for key in child.attrib)])
        yield from paths(child, f"{path}/")


class Asked:
    """Sends pywinrm's own envelopes, and keeps the last answer as it came."""

    def __init__(self, host: Door) -> None:
        self.client = host.winrm(operation_timeout_sec=1, read_timeout_sec=4)
        self.content = b""
        send = self.client.transport.send_message

        def kept(message: str | bytes) -> bytes:
            try:
                self.content = send(message)
            except WinRMTransportError as refused:
                self.content = refused.response_text.encode()
                raise
            return self.content

        self.client.transport.send_message = kept  # type: ignore[method-assign]

    def part(self, path: str) -> ET.Element:
        found = ET.fromstring(self.content).find(path, ALL)
        assert found is not None, path
        return found

    def shape(self) -> list[str]:
        assert list(paths(self.part("s:Header"))) == HEADER
        return list(paths(self.part("s:Body")))

    def action(self) -> str:
        return self.part("s:Header/a:Action").text or ""


@pytest.fixture
def asked(tmp_path):
    with door(tmp_path) as host:
        yield Asked(host)


def test_each_answer_is_shaped_as_windows_does(asked):
    client = asked.client
    shell = client.open_shell()
    assert asked.shape() == [
        "x:ResourceCreated",
        "x:ResourceCreated/a:Address",
        "x:ResourceCreated/a:ReferenceParameters",
        "x:ResourceCreated/a:ReferenceParameters/w:ResourceURI",
        SELECTORS,
        f"{SELECTORS}/w:Selector Name",
        "rsp:Shell",
        *(f"rsp:Shell/rsp:{name}" for name in SHELL),
        "rsp:Shell/rsp:ShellRunTime",
        "rsp:Shell/rsp:ShellInactivity",
    ]
    assert asked.action() == "http://schemas.xmlsoap.org/ws/2004/09/transfer/CreateResponse"
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", shell)

    command = client.run_command(shell, "cat")
    assert asked.shape() == ["rsp:CommandResponse", "rsp:CommandResponse/rsp:CommandId"]
    client.send_command_input(shell, command, b"x", end=True)
    assert asked.shape() == ["rsp:SendResponse"]
    client.get_command_output_raw(shell, command)
    assert asked.shape() == [
        "rsp:ReceiveResponse",
        f"{RECEIVED} CommandId Name",
        f"{RECEIVED} CommandId End Name",
        f"{RECEIVED} CommandId End Name",
        f"{STATE} CommandId State",
        f"{STATE}/rsp:ExitCode",
    ]
    assert asked.action() == "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/ReceiveResponse"
    client.cleanup_command(shell, command)
    assert asked.shape() == ["rsp:SignalResponse"]
    large = client.run_command(shell, "big", ["200000"])
    client.get_command_output_raw(shell, large)
    assert asked.shape() == ["rsp:ReceiveResponse", f"{RECEIVED} CommandId Name", f"{STATE} CommandId State"]
    client.close_shell(shell, close_session=False)
    assert asked.shape() == []


@pytest.mark.parametrize(
    ("ask", "shape", "said"),
    [
        (
            lambda client, shell: client.get_command_output_raw(shell, client.run_command(shell, "sleep", ["5"])),
            [*FAULT, *WSMAN_FAULT],
            "s:Receiver w:TimedOut 2150858793 The WS-Management service cannot complete the operation within the time "
            "specified in OperationTimeout.  ",
        ),
        (
            lambda client, shell: client.get_command_output_raw(shell, "D644AE56-61E5-4C1A-A135-E599B76B3035"),
            [*FAULT, FAULT_DETAIL, *WSMAN_FAULT],
            "s:Sender w:InvalidSelectors 2150858843 The WS-Management service cannot process the request because the "
            "request contained invalid selectors for the resource. ",
        ),
        (
            lambda client, shell: client.run_command("D644AE56-61E5-4C1A-A135-E599B76B3035", "x"),
            [*FAULT, FAULT_DETAIL, *WSMAN_FAULT],
            "s:Sender w:InvalidSelectors 2150858843 The WS-Management service cannot process the request because the "
            "request contained invalid selectors for the resource. ",
        ),
        (
            lambda client, shell: client.get_command_output_raw(shell, ""),
            [*FAULT, FAULT_DETAIL, *WSMAN_FAULT, OF_CMD],
            "s:Sender w:InvalidParameter 87 The parameter is incorrect. ",
        ),
    ],
    ids=["timed out", "no such command", "no such shell", "no command named"],
)
def test_each_fault_is_shaped_as_windows_does(asked, ask, shape, said):
    shell = asked.client.open_shell()
    with pytest.raises((WSManFaultError, WinRMOperationTimeoutError)):
        ask(asked.client, shell)
    assert asked.shape() == shape
    assert asked.action() == "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
    fault = asked.part("s:Body/s:Fault")
    detail = fault.find("s:Detail/f:WSManFault", ALL)
    code, subcode, reason = (
        fault.findtext(path, "", ALL) for path in ("s:Code/s:Value", "s:Code/s:Subcode/s:Value", "s:Reason/s:Text")
    )
    assert f"{code} {subcode} {detail.get('Code')} {reason}" == said
    assert detail.get("Machine") == "hv-milano"
