# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults of WinRM, with the codes and words of Windows.

Sources: pypsrp's recordings from Windows (timed out, invalid selectors, no such command, file not found), pywinrm's
(WMI error), winerror.h (the other codes). The words of those last are Microsoft's, their envelope is ours.
"""

from __future__ import annotations

import typing as t
from xml.sax.saxutils import escape

TIMED_OUT = 2150858793
NO_SUCH_SHELL = 2150858843
QUOTA_SHELLS = 2150859173
QUOTA_OPERATIONS = 2150859174  # 0x803381A6
ABORTED = 995
ACCESS_DENIED = 5
_DETAILS = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"
_CMD_PLUGIN = r'provider="Shell cmd plugin" path="%systemroot%\system32\winrscmd.dll"'


class WsmanFault(Exception):
    """An answer that is a SOAP fault; ``relates_to`` is the call's message id."""

    def __init__(
        self,
        code: int,
        subcode: str,
        reason: str,
        message: str = "",
        *,
        value: t.Literal["s:Sender", "s:Receiver"] = "s:Sender",
        detail: str = "",
        is_of_cmd: bool = False,
        is_wmi: bool = False,
    ) -> None:
        super().__init__(f"{subcode} {code}: {message or reason}")
        self.code, self.subcode, self.reason, self.message = code, subcode, reason, message or reason
        self.value, self.detail, self.is_of_cmd, self.is_wmi = value, detail, is_of_cmd, is_wmi
        self.relates_to = ""

    def answering(self, message_id: str) -> WsmanFault:
        self.relates_to = message_id
        return self

    def body(self, machine: str) -> str:
        detail = f"<w:FaultDetail>{_DETAILS}{self.detail}</w:FaultDetail>" if self.detail else ""
        return (
            f"<s:Fault><s:Code><s:Value>{self.value}</s:Value><s:Subcode><s:Value>{escape(self.subcode)}</s:Value>"
            f'</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">{escape(self.reason)}</s:Text></s:Reason>'
            f"<s:Detail>{detail}{self._wmi() if self.is_wmi else self._wsman(machine)}</s:Detail></s:Fault>"
        )

    def _wsman(self, machine: str) -> str:
        said = escape(self.message)
        if self.is_of_cmd:
            said = f"<f:ProviderFault {_CMD_PLUGIN}>{said}</f:ProviderFault>"
        return (
            '<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
            f'Code="{self.code}" Machine="{escape(machine)}"><f:Message>{said}</f:Message></f:WSManFault>'
        )

    def _wmi(self) -> str:
        """Say it as WMI does, which is how quotas reach a client; pywinrm reads error_Code."""
        nothing = 'xsi:type="cim:cimString" xsi:nil="true"'
        number, short, string = (f'xsi:type="cim:cim{kind}"' for kind in ("UnsignedInt", "UnsignedShort", "String"))
        return (
            '<p:MSFT_WmiError b:IsCIM_Error="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xmlns:b="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd" '
            'xmlns:p="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError" '
            'xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xsi:type="p:MSFT_WmiError_Type">'
            f"<p:CIMStatusCode {number}>27</p:CIMStatusCode><p:CIMStatusCodeDescription {nothing} />"
            f"<p:ErrorSource {nothing} /><p:ErrorSourceFormat {short}>0</p:ErrorSourceFormat>"
            f"<p:ErrorType {short}>0</p:ErrorType><p:Message {string}>{escape(self.message)}</p:Message>"
            f"<p:MessageID {string}>HRESULT 0x{self.code:08x}</p:MessageID><p:OtherErrorSourceFormat {nothing} />"
            f"<p:OtherErrorType {nothing} /><p:OwningEntity {nothing} />"
            f"<p:PerceivedSeverity {short}>0</p:PerceivedSeverity><p:ProbableCause {short}>0</p:ProbableCause>"
            f"<p:ProbableCauseDescription {nothing} /><p:error_Category {number}>30</p:error_Category>"
            f"<p:error_Code {number}>{self.code}</p:error_Code><p:error_Type {string}>HRESULT</p:error_Type>"
            f"<p:error_WindowsErrorMessage {string}>{escape(self.message)}</p:error_WindowsErrorMessage>"
            "</p:MSFT_WmiError>"
        )


def timed_out() -> WsmanFault:
    said = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  "
    return WsmanFault(TIMED_OUT, "w:TimedOut", said, value="s:Receiver")


def _bad_selectors(message: str) -> WsmanFault:
    return WsmanFault(
        NO_SUCH_SHELL,
        "w:InvalidSelectors",
        "The WS-Management service cannot process the request because the request contained invalid selectors for the "
        "resource. ",
        message,
        detail="UnexpectedSelectors",
    )


def no_such_shell(shell_id: str) -> WsmanFault:
    return _bad_selectors(
        f"The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell was not found on "
        "the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the "
        "server. Provide the correct ShellId or create a new shell and retry the operation. "
    )


def no_such_command() -> WsmanFault:
    return _bad_selectors(
        "The Windows Remote Shell received a request to perform an operation on a command identifier that does not "
        "exist. Either the command has completed execution or the client specified an invalid command identifier. "
    )


def bad_parameter() -> WsmanFault:
    said = "The parameter is incorrect. "
    return WsmanFault(87, "w:InvalidParameter", said, detail="InvalidValue", is_of_cmd=True)


def too_long() -> WsmanFault:
    """What CreateProcess says of a command line above 32,767 characters."""
    said = "The filename or extension is too long. "
    return WsmanFault(2147942606, "w:InternalError", said, value="s:Receiver", is_of_cmd=True)


def pipe_closed() -> WsmanFault:
    said = "The pipe is being closed. "
    return WsmanFault(2147942632, "w:InternalError", said, value="s:Receiver", is_of_cmd=True)


def aborted() -> WsmanFault:
    said = "The I/O operation has been aborted because of either a thread exit or an application request. "
    return WsmanFault(ABORTED, "w:InternalError", said, value="s:Receiver", is_of_cmd=True)


def access_denied() -> WsmanFault:
    return WsmanFault(ACCESS_DENIED, "w:AccessDenied", "Access is denied. ")


def too_many_shells(allowed: int) -> WsmanFault:
    close = "Close existing shells or raise the quota for this user. "
    return WsmanFault(
        QUOTA_SHELLS,
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. The maximum number of concurrent shells for this user "
        f"has been exceeded. {close}",
        f"The WS-Management service cannot process the request. This user is allowed a maximum number of {allowed} "
        f"concurrent shells, which has been exceeded. {close}",
    )


def too_many_operations() -> WsmanFault:
    said = (
        "The WS-Management service cannot process the request. The maximum number of concurrent operations for this "
        "user has been exceeded. Close existing operations for this user, or raise the quota for this user. "
    )
    return WsmanFault(QUOTA_OPERATIONS, "w:InternalError", said, value="s:Receiver", is_wmi=True)


def too_many_processes(allowed: int) -> WsmanFault:
    return WsmanFault(
        2150859241,
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. The maximum number of concurrent processes for this "
        f"shell, {allowed}, has been exceeded. ",
    )


def bad_xml(why: str) -> WsmanFault:
    said = f"The WS-Management service cannot process the request because the XML is invalid: {why}. "
    return WsmanFault(2150858819, "w:SchemaValidationError", said)


def bad_action(action: str) -> WsmanFault:
    said = "The WS-Management service does not support the action specified in the request. "
    return WsmanFault(2150858771, "a:ActionNotSupported", said, f"{said}({action})")


def bad_resource(resource: str) -> WsmanFault:
    said = (
        "The WS-Management service cannot process the request. The resource URI is missing or it has an incorrect "
        "format. Check the documentation or use the following command for information on how to construct a resource "
        'URI: "winrm help uris". '
    )
    return WsmanFault(2150858811, "a:DestinationUnreachable", said, f"{said}({resource})", detail="InvalidResourceURI")
