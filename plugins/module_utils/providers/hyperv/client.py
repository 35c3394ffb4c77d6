# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Hyper-V host: reads that may be repeated, changes that never are, every error in our words.

Every operation is one process on the host (scripts/). It is the host itself that is asked: nothing here ever names another one.
A read is repeated once when its answer was lost with the connection; a change never is, and the caller reads the state again.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import typing as t
from collections.abc import Callable

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec, Progress, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import faults, sdk, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import bootstrap
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.transport import (
    Cut,
    Expired,
    Output,
    Transport,
    WinrmTransport,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.trust import address_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import TwoEnds
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import NotSent
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.network import answer_lost

__all__ = ["Client", "Row", "TwoHosts"]

Row: t.TypeAlias = "dict[str, t.Any]"
SLOW_FACTOR = 4.0  # ``timeout_s`` is one answer's of the wire; PowerShell on a busy host takes as long as this many


class Client:
    """Connects on first use. ``address`` names the host in every message; ``close`` gives its shell back."""

    def __init__(
        self, spec: EndpointSpec, *, clock: Clock, progress: Progress, transport: Transport | None = None
    ) -> None:
        self.spec = spec
        self.clock = clock
        self.progress = progress
        self.address = address_of(spec)
        self.clock_offset_s = 0.0  # how far the host's clock ran ahead of ours at its last answer
        self.commands = 0  # processes on the host so far
        self._transport = transport
        self._one_at_a_time = threading.RLock()

    def __repr__(self) -> str:
        return f"<Hyper-V {self.address} as {faults.account_of(self.spec)}>"

    @property
    def calls(self) -> int:
        """HTTP requests so far."""
        return self._transport.calls if self._transport is not None else 0

    def run(self, script: Script, /, *, within_s: float = 0.0, **parameters: t.Any) -> Row:
        """Read; repeated once where a connection died before an answer. ``within_s`` 0: as the endpoint's ``timeout_s`` allows."""
        what = f"{script.name} of {self.address}"
        try:
            return self._call(what, script, parameters, within_s)
        except Cut as cut:
            if isinstance(cut.cause, Expired):
                raise faults.from_wire(what, cut.cause, self.spec) from None
        except NotSent as not_sent:
            raise faults.from_wire(what, not_sent.cause, self.spec) from None
        try:
            return self._call(what, script, parameters, within_s)
        except (Cut, NotSent) as failure:
            raise faults.from_wire(what, failure.cause, self.spec) from None

    def act(self, script: Script, /, *, within_s: float = 0.0, **parameters: t.Any) -> Row:
        """Change something, in one attempt: an answer that got lost is a ProviderFault with ``is_answer_lost``."""
        what = f"{script.name} at {self.address}"
        try:
            return self._call(what, script, parameters, within_s)
        except NotSent as not_sent:
            raise faults.from_wire(what, not_sent.cause, self.spec) from None
        except Cut as cut:
            words = faults.from_wire(what, cut.cause, self.spec)
            raise answer_lost(what, f"sent, but no answer came: {words.why}", words.next) from None

    def ask(self, script: Script, /, *, within_s: float = 0.0, **parameters: t.Any) -> Row:
        """Read once, and return all that the host answered: an error of the script's is an answer too, and no fault."""
        what = f"{script.name} of {self.address}"
        try:
            return self._answered(what, script, parameters, within_s)
        except (Cut, NotSent) as failure:
            raise faults.from_wire(what, failure.cause, self.spec) from None

    def close(self) -> None:
        if self._transport is not None:
            with self._one_at_a_time:
                self._transport.close()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _answered(self, what: str, script: Script, parameters: Row, within_s: float) -> Row:
        job = json.dumps({"script": script.text, "parameters": parameters}, ensure_ascii=False).encode()
        with self._one_at_a_time:
            if self._transport is None:
                sdk.require_winrm()
                require_sound(self.spec)
                self._transport = WinrmTransport(self.spec, self.clock)
            self.commands += 1
            output = self._transport.run(
                bootstrap.EXECUTABLE,
                bootstrap.ARGUMENTS,
                job,
                within_s=within_s or SLOW_FACTOR * self.spec.timeout_s,
            )
            answer = self._answer(what, output)
            now_s = wire.to_instant(answer.get("now"))
            if now_s is not None:
                self.clock_offset_s = now_s - self.clock.now_s()
        return answer

    def _call(self, what: str, script: Script, parameters: Row, within_s: float) -> Row:
        answer = self._answered(what, script, parameters, within_s)
        if answer.get("ok") is not True:
            raise self._refusal(what, answer)
        data = answer.get("data")
        if not isinstance(data, dict):
            raise ProviderFault(
                what=what,
                why=f"the script answered {type(data).__name__}, not one object",
                next="report this as a defect of ferragosto.dr, with the version of Windows",
                is_answer_lost=True,
            )
        return data

    def _answer(self, what: str, output: Output) -> Row:
        # A console that breaks long lines may break this one anywhere: neither marks nor base64 hold any space
        text = "".join(output.stdout.decode("utf-8", "replace").split())
        opened = text.rfind(bootstrap.OPENING)
        closed = text.find(bootstrap.CLOSING, opened)
        if opened >= 0 and closed > opened:
            try:
                body = text[opened + len(bootstrap.OPENING) : closed]
                found = json.loads(base64.b64decode(body, validate=True))
            except (binascii.Error, ValueError):
                found = None
            if isinstance(found, dict):
                return found
        fault = faults.from_output(what, output.stderr.decode("utf-8", "replace"), output.exit_code, self.spec)
        fault.is_answer_lost = True  # whatever the process did, it did not live to tell
        raise fault

    def _refusal(self, what: str, answer: Row) -> DrError:
        return faults.from_script(what, answer.get("error"), self.spec)


class TwoHosts(TwoEnds[Client]):
    """The two hosts of a site."""

    def __init__(
        self,
        spec: SiteSpec,
        *,
        clock: Clock,
        progress: Progress,
        opens: Callable[[EndpointSpec], Client] | None = None,
    ) -> None:
        def open_client(end: EndpointSpec) -> Client:
            return Client(end, clock=clock, progress=progress)

        super().__init__(spec, opens or open_client, clock=clock)


def require_sound(spec: EndpointSpec) -> None:
    """Refuse what cannot work or would send a password in clear text, before anything is sent."""
    what = f"open {spec.api_host}"
    transport = spec.winrm_transport
    if transport == "basic" and (spec.winrm_scheme != "https" or not (spec.validate_certs or spec.tls_fingerprint)):
        raise BadInput(
            what=what,
            why="winrm_transport basic sends the password as it is, so it is used only over HTTPS with a certificate that"
            " is verified or pinned",
            next="use winrm_transport ntlm or kerberos, or set winrm_scheme to https with ca_path or tls_fingerprint",
        )
    if transport == "certificate":
        if spec.winrm_scheme != "https" or not spec.winrm_cert_path or not spec.winrm_key_path:
            raise BadInput(
                what=what,
                why="winrm_transport certificate needs HTTPS, a certificate and its key",
                next="set winrm_scheme to https, winrm_cert_path and winrm_key_path",
            )
        return
    missing = [name for name in _needed(transport) if not getattr(spec, name)]
    if missing:
        raise BadInput(
            what=what,
            why=f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set, and winrm_transport"
            f" {transport} needs {'it' if len(missing) == 1 else 'them'}",
            next=f"set {' and '.join(missing)} of this endpoint in dr_site",
        )
    if transport == "kerberos":
        sdk.require_kerberos()
    if transport == "credssp":
        sdk.require_credssp()


def _needed(transport: str) -> tuple[str, ...]:
    # Kerberos goes by the ticket that kinit got, never by a password
    return ("api_user",) if transport == "kerberos" else ("api_user", "api_password")
