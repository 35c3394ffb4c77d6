# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The WinRM service of one host: what each call does, and the answer in the shape of Windows."""

from __future__ import annotations

import base64
import binascii
import typing as t
from collections.abc import Callable

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman import errors, soap
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.faults import CutConnection
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.soap import Envelope, text

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.command import Command
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.shells import Shell, Shells
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User

_OVERHEAD = 4096  # of an answer's envelope, besides what it carries
_STATE = f"{soap.SHELL}/CommandState"
_SIGNAL = f"{soap.SHELL}/signal"


class Service:
    """Serves calls of clients that have proven who they are. ``stops_on_cut``: a lost Receive ends its process."""

    def __init__(self, shells: Shells, url: Callable[[], str], stops_on_cut: bool = False) -> None:
        self.shells, self._url, self.stops_on_cut = shells, url, stops_on_cut

    def serve(self, call: Envelope, user: User, is_gone: Callable[[], bool]) -> bytes:
        """Do what is asked. Raises WsmanFault for what Windows refuses, CutConnection when the client has left."""
        if not user.may_log_on:
            raise errors.access_denied()
        if call.call == "Get" and call.resource == soap.CONFIG:
            return self._config(call)
        if call.resource not in (soap.CMD, soap.SHELL):
            raise errors.bad_resource(call.resource)
        if call.call == "Create":
            return self._created(call, self.shells.create(user.account, call))
        shell = self.shells.of(user.account, call.shell_id)
        match call.call:
            case "Command":
                command = self.shells.start(shell, call)
                body = f"<rsp:CommandResponse><rsp:CommandId>{command.id}</rsp:CommandId></rsp:CommandResponse>"
                return soap.answer(call, body, "x", "rsp")
            case "Send":
                return self._send(call, shell)
            case "Receive":
                return self._receive(call, shell, is_gone)
            case "Signal":
                return self._signal(call, shell)
            case "Delete":
                self.shells.delete(shell)
                return soap.answer(call, "")
            case "Get":
                return soap.answer(call, self._shown(shell), "x", "rsp")
        raise errors.bad_action(call.action)

    def script(self, call: Envelope, user: User) -> str:
        """What a fault may look for in this call: the command line, and its input with what the call brings."""
        if call.call == "Command":
            return " ".join([call.text("rsp:CommandLine/rsp:Command"), *call.texts("rsp:CommandLine/rsp:Arguments")])
        command = self.named(call, user)
        brought = _content(call.text("rsp:Send/rsp:Stream")).decode(errors="replace") if call.call == "Send" else ""
        return command.script + brought if command is not None else ""

    def named(self, call: Envelope, user: User) -> Command | None:
        """The command that a Send, Receive or Signal is about, if there is one."""
        try:
            shell = self.shells.of(user.account, call.shell_id)
            return self.shells.command(shell, _command_id(call))
        except errors.WsmanFault:
            return None

    def _created(self, call: Envelope, shell: Shell) -> bytes:
        body = (
            f"<x:ResourceCreated><a:Address>{text(self._url())}</a:Address><a:ReferenceParameters>"
            f'<w:ResourceURI>{soap.CMD}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{text(shell.id)}'
            f"</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>{self._shown(shell)}"
        )
        return soap.answer(call, body, "x", "rsp")

    def _shown(self, shell: Shell) -> str:
        now_s, folder = self.shells.now_s(), shell.working_directory
        named = "".join(
            f'<rsp:Variable Name="{text(name)}">{text(value)}</rsp:Variable>'
            for name, value in shell.environment.items()
        )
        set_by_client = f"<rsp:WorkingDirectory>{text(folder)}</rsp:WorkingDirectory>" if folder else ""
        set_by_client += f"<rsp:Environment>{named}</rsp:Environment>" if named else ""
        return (
            f'<rsp:Shell xmlns:rsp="{soap.SHELL}"><rsp:ShellId>{text(shell.id)}</rsp:ShellId>'
            f"<rsp:ResourceUri>{soap.CMD}</rsp:ResourceUri><rsp:Owner>{text(shell.owner)}</rsp:Owner>"
            f"<rsp:ClientIP>127.0.0.1</rsp:ClientIP>{set_by_client}<rsp:IdleTimeOut>PT{shell.idle_s:.3f}S</rsp:IdleTimeOut>"
            f"<rsp:InputStreams>{text(shell.input_streams)}</rsp:InputStreams>"
            f"<rsp:OutputStreams>{text(shell.output_streams)}</rsp:OutputStreams>"
            f"<rsp:ShellRunTime>{_duration(now_s - shell.created_s)}</rsp:ShellRunTime>"
            f"<rsp:ShellInactivity>{_duration(now_s - shell.used_s)}</rsp:ShellInactivity></rsp:Shell>"
        )

    def _send(self, call: Envelope, shell: Shell) -> bytes:
        node = call.find("rsp:Send/rsp:Stream")
        if node is None or node.get("Name") != "stdin":
            raise errors.bad_parameter()
        command = self.shells.command(shell, _command_id(call))
        command.feed(_content(node.text or ""), is_last_send(call))
        return soap.answer(call, "<rsp:SendResponse/>", "x", "rsp")

    def _receive(self, call: Envelope, shell: Shell, is_gone: Callable[[], bool]) -> bytes:
        command_id = _command_id(call)
        if not command_id:
            raise errors.bad_parameter()
        command = self.shells.command(shell, command_id)
        limits = self.shells.limits
        room = (min(call.max_bytes, limits.max_envelope_kb * 1024) - _OVERHEAD) * 3 // 4
        reply = command.receive(min(call.timeout_s, limits.max_timeout_s), max(room, 1024), is_gone)
        if reply is None:
            if is_gone():
                if self.stops_on_cut:
                    command.interrupt()
                raise CutConnection("the client left before its answer")
            raise errors.timed_out()
        named = f'CommandId="{text(command_id)}"'
        pieces = "".join(
            f'<rsp:Stream Name="{stream}" {named}>{base64.b64encode(said).decode()}</rsp:Stream>'
            for stream, said in reply.pieces
        )
        if reply.exit_code is None:
            state = f'<rsp:CommandState {named} State="{_STATE}/Running"></rsp:CommandState>'
        else:
            pieces += "".join(f'<rsp:Stream Name="{s}" {named} End="true"></rsp:Stream>' for s in ("stdout", "stderr"))
            state = (
                f'<rsp:CommandState {named} State="{_STATE}/Done"><rsp:ExitCode>{reply.exit_code}</rsp:ExitCode>'
                "</rsp:CommandState>"
            )
        return soap.answer(call, f"<rsp:ReceiveResponse>{pieces}{state}</rsp:ReceiveResponse>", "rsp")

    def _signal(self, call: Envelope, shell: Shell) -> bytes:
        command = self.shells.command(shell, _command_id(call))
        code = call.text("rsp:Signal/rsp:Code").casefold()
        if code in (f"{_SIGNAL}/ctrl_c", f"{_SIGNAL}/ctrl_break") and command.is_running:
            command.interrupt()
        elif code in (f"{_SIGNAL}/ctrl_c", f"{_SIGNAL}/ctrl_break", f"{_SIGNAL}/terminate"):
            self.shells.terminate(shell, command)
        else:
            raise errors.bad_parameter()
        return soap.answer(call, "<rsp:SignalResponse/>", "x", "rsp")

    def _config(self, call: Envelope) -> bytes:
        limits = self.shells.limits
        body = (
            f'<cfg:Config xmlns:cfg="{soap.CONFIG}"><cfg:MaxEnvelopeSizekb>{limits.max_envelope_kb}'
            f"</cfg:MaxEnvelopeSizekb><cfg:MaxTimeoutms>{limits.max_timeout_s * 1000:.0f}</cfg:MaxTimeoutms><cfg:Winrs>"
            f"<cfg:IdleTimeout>{limits.idle_s * 1000:.0f}</cfg:IdleTimeout><cfg:MaxProcessesPerShell>"
            f"{limits.max_processes_per_shell}</cfg:MaxProcessesPerShell><cfg:MaxShellsPerUser>"
            f"{limits.max_shells_per_user}</cfg:MaxShellsPerUser></cfg:Winrs></cfg:Config>"
        )
        return soap.answer(call, body, "x")


def is_last_send(call: Envelope) -> bool:
    """Whether this Send ends the input."""
    node = call.find("rsp:Send/rsp:Stream")
    return node is not None and node.get("End", "").casefold() == "true"


def _command_id(call: Envelope) -> str:
    for path in ("rsp:Receive/rsp:DesiredStream", "rsp:Send/rsp:Stream", "rsp:Signal"):
        if (node := call.find(path)) is not None:
            return node.get("CommandId", "")
    return ""


def _content(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=False)
    except binascii.Error:
        raise errors.bad_parameter() from None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"P0DT{hours}H{minutes}M{rest}S"
