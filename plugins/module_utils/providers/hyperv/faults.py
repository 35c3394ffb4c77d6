# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host and the network answer becomes our errors here, each with the technician's next move, none with a secret.

Hyper-V's messages are in the host's language: what an error is, its id and its category say; its words are only shown.
"""

from __future__ import annotations

import re
import socket
import ssl
import typing as t
from enum import StrEnum

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    BadInput,
    DrError,
    ProviderFault,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import sdk
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.transport import (
    Expired,
    causes_of,
    foreign_certificate,
    is_quota,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.trust import address_of, port_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import READ_AGAIN
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.network import (
    NO_SUCH_NAME,
    Words,
    bad_certificate,
    network_words,
)

# SEC_E_LOGON_DENIED; STATUS_LOGON_FAILURE, _ACCOUNT_RESTRICTION, _PASSWORD_EXPIRED, _ACCOUNT_DISABLED
LOGON_DENIED = frozenset({0x8009030C, 0xC000006D, 0xC000006E, 0xC0000071, 0xC0000072})
ACCESS_DENIED = 5  # a WSManFault's code for what the account may not do at all
THROWN = "ferragosto.dr."  # our scripts throw words with this beginning, which PowerShell takes for the error's id
GROUP = "Hyper-V Administrators"
LOG = "look at the event log Microsoft-Windows-Hyper-V-VMMS-Admin of the host"


class Kind(StrEnum):
    """What the host meant."""

    NO_SUCH_VM = "no_such_vm"
    NO_SUCH_THING = "no_such_thing"
    INVALID_STATE = "invalid_state"  # the VM or its replication is not in a state for this
    INVALID_ARGUMENT = "invalid_argument"
    CHANGED_MEANWHILE = "changed_meanwhile"  # the Notes are not those that were read
    BUSY = "busy"
    EXPIRED = "expired"
    OTHER = "other"


# ErrorCategory, by name; Hyper-V's own ids are no finer.
_CATEGORIES = {
    "InvalidState": Kind.INVALID_STATE,
    "InvalidOperation": Kind.INVALID_STATE,
    "InvalidArgument": Kind.INVALID_ARGUMENT,
    "InvalidData": Kind.INVALID_ARGUMENT,
    "ObjectNotFound": Kind.NO_SUCH_THING,
    "ResourceBusy": Kind.BUSY,
    "ResourceUnavailable": Kind.BUSY,
    "OperationTimeout": Kind.BUSY,
}
_NEXT = {
    Kind.NO_SUCH_VM: f"it was removed meanwhile, or the account may not see it: {READ_AGAIN}",
    Kind.CHANGED_MEANWHILE: f"somebody changed the VM's Notes meanwhile: {READ_AGAIN}",
    Kind.BUSY: f"another operation works on this VM: wait for its end in Hyper-V Manager; then {READ_AGAIN}",
}
_SECRETS = (r"((?:password|passwd|pwd)[\"']?\s*[=:]\s*[\"']?)[^\s,\"'&]+", r"\1<secret>")


class VendorFault(ProviderFault):
    """The host refused, and said so. ``id`` is PowerShell's FullyQualifiedErrorId, ``category`` its ErrorCategory."""

    def __init__(
        self,
        *,
        kind: Kind,
        id: str,
        category: str,
        what: str,
        why: str,
        next: str,
        has_cure: bool = True,
        is_answer_lost: bool = False,
    ) -> None:
        super().__init__(what=what, why=why, next=next, has_cure=has_cure, is_answer_lost=is_answer_lost)
        self.kind = kind
        self.id = id
        self.category = category


class NoSuchVm(VendorFault):
    """The host shows no VM of this id to our account."""


# --- what a script answered ------------------------------------------------------------------------------------------


def from_script(what: str, error: t.Any, spec: EndpointSpec) -> DrError:
    """Turn the error record that the bootstrap caught into one of ours; the host did what came before it in the script."""
    shown = error if isinstance(error, dict) else {}
    identity, category = str(shown.get("id") or ""), str(shown.get("category") or "")
    words = clean(str(shown.get("message") or identity or "no words"), spec)
    why = f"{spec.api_host} answered: {words} ({category or 'no category'}, {identity or 'no id'})"
    if category == "PermissionDenied" or "AccessDenied" in identity or "UnauthorizedAccess" in identity:
        return no_right(what, why, spec)
    if identity.startswith("CommandNotFoundException"):
        return BadInput(
            what=what,
            why=why,
            next="install the PowerShell module of Hyper-V on the host: Install-WindowsFeature -Name Hyper-V-PowerShell",
        )
    kind = _kind(identity, category)
    cure = _NEXT.get(kind)
    build = NoSuchVm if kind is Kind.NO_SUCH_VM else VendorFault
    return build(
        kind=kind,
        id=identity,
        category=category,
        what=what,
        why=why,
        next=cure or f"{LOG}; then {READ_AGAIN}",
        has_cure=cure is not None,
    )


def from_output(what: str, stderr: str, exit_code: int, spec: EndpointSpec) -> ProviderFault:
    """Tell of a process that ended without our line: something else answered, or PowerShell may not do what it needs."""
    told = clean(_plain(stderr), spec)
    return ProviderFault(
        what=what,
        why=f"powershell.exe on {spec.api_host} ended with {exit_code} and without an answer"
        + (f": {told[:300]}" if told else ""),
        next="check on the host that this account may run PowerShell in full language mode (no AppLocker or constrained"
        f" session): $ExecutionContext.SessionState.LanguageMode; then {READ_AGAIN}",
    )


def no_right(what: str, why: str, spec: EndpointSpec) -> BadInput:
    return BadInput(what=what, why=why, next=f"{right_of(spec)}; it takes effect with its next log-in")


def right_of(spec: EndpointSpec) -> str:
    """Say how the account gets what it needs on its host."""
    who = account_of(spec)
    return (
        f"make {who} a member of the host's group {GROUP} (and of Remote Management Users): on {spec.api_host}"
        f" Add-LocalGroupMember -Group '{GROUP}' -Member '{who}'"
    )


# --- what the wire answered ------------------------------------------------------------------------------------------


def from_wire(what: str, cause: Exception, spec: EndpointSpec) -> DrError:
    """Tell why the host could not be talked to, and the fix for exactly that."""
    address = address_of(spec)
    foreign = foreign_certificate(cause)
    if foreign is not None:
        return BadInput(
            what=what,
            why=f"{address} is not who it should be: {foreign}",
            next="if the host's WinRM certificate was renewed, put the new fingerprint into tls_fingerprint; otherwise find"
            " out who answers at this address before sending it a password",
        )
    found = causes_of(cause)
    for one in found:
        if isinstance(one, ssl.SSLCertVerificationError):
            return _bad_certificate(what, one, spec)
    if any(isinstance(one, sdk.InvalidCredentialsError) for one in found):
        return wrong_login(spec)
    if isinstance(cause, sdk.CredsspRefusal) and cause.status in LOGON_DENIED:
        return wrong_login(spec)
    if isinstance(cause, Expired):
        return VendorFault(
            kind=Kind.EXPIRED,
            id="",
            category="",
            what=what,
            why=f"{address}: {cause}",
            next=f"the host is slow or an operation hangs: {LOG}; then {READ_AGAIN}",
        )
    if isinstance(cause, sdk.WSManFaultError):
        return _from_wsman(what, cause, spec)
    if isinstance(cause, sdk.WinRMTransportError):
        return _from_status(what, cause.code, spec)
    if type(cause).__module__.startswith(("winrm.vendor.requests_kerberos", "kerberos", "requests_credssp", "spnego")):
        return BadInput(
            what=what,
            why=f"{address}: {spec.winrm_transport} failed: {clean(str(cause), spec)[:300]}",
            next="with kerberos there must be a ticket (klist, kinit) and winrm_kerberos_host must name the host as its"
            " service principal HTTP/<name> does; with credssp, CredSSP must be enabled on the host",
        )
    root = _root(found)
    why, next_move = _network_words(root, spec)
    if isinstance(root, socket.gaierror) and root.errno in NO_SUCH_NAME:
        return BadInput(what=what, why=f"{address} {why}", next=next_move)  # a name server that is down says otherwise
    return SiteUnreachable(what=what, why=f"{address} {clean(why, spec)}", next=next_move)


def wrong_login(spec: EndpointSpec) -> BadInput:
    shown = f"account by {spec.winrm_transport}"
    if spec.winrm_transport == "certificate":
        shown = "certificate"
        next_move = (
            "map the certificate to an account on the host (WSMan:\\localhost\\ClientCertificate) and enable certificate"
            " log-in: Set-Item WSMan:\\localhost\\Service\\Auth\\Certificate $true"
        )
    else:
        next_move = (
            "correct api_user (DOMAIN\\user, user@realm or .\\user) and api_password of this endpoint, and check on the host"
            f" that winrm get winrm/config/service/auth shows {spec.winrm_transport} enabled; in a workgroup a local"
            " administrator other than the built-in one is also refused while LocalAccountTokenFilterPolicy is not 1"
        )
    return BadInput(
        what=f"log in to {address_of(spec)} as {account_of(spec)}",
        why=f"the host does not accept this {shown} (401)",
        next=next_move,
    )


def account_of(spec: EndpointSpec) -> str:
    return spec.api_user or spec.winrm_cert_path or ""


def clean(text: str, spec: EndpointSpec | None = None) -> str:
    """Take out whatever is a secret or looks like one, and line breaks."""
    text = re.sub(*_SECRETS, text)
    if spec is not None and spec.api_password and len(spec.api_password) > 3:  # of a shorter one words are full
        text = text.replace(spec.api_password, "<secret>")
    return " ".join(text.split())


# --- inside ----------------------------------------------------------------------------------------------------------


def _kind(identity: str, category: str) -> Kind:
    if identity.startswith(THROWN):
        word = identity.removeprefix(THROWN).partition(",")[0]
        return Kind(word) if word in {kind.value for kind in Kind} else Kind.OTHER
    kind = _CATEGORIES.get(category, Kind.OTHER)
    is_lookup = re.search(r"Commands\.GetVM$|,\s*Get-?VM$", identity) is not None
    return Kind.NO_SUCH_VM if is_lookup and kind in (Kind.NO_SUCH_THING, Kind.INVALID_ARGUMENT) else kind


def _plain(stderr: str) -> str:
    """Return the words of an error stream in CLIXML, or the stream as it is."""
    if not stderr.startswith("#< CLIXML"):
        return stderr
    return " ".join(re.findall(r'<S S="Error">(.*?)</S>', stderr, re.DOTALL)).replace("_x000D__x000A_", " ")


def _from_wsman(what: str, fault: t.Any, spec: EndpointSpec) -> DrError:
    address, words = address_of(spec), clean(str(fault.reason or "no reason"), spec)
    code = fault.wmierror_code or fault.wsman_fault_code or 0
    why = f"{address} refused: {words}" + (f" (0x{code:08X})" if code else "")
    if fault.wsman_fault_code == ACCESS_DENIED or fault.wmierror_code == ACCESS_DENIED:
        return no_right(what, why, spec)
    if is_quota(fault):
        return ProviderFault(
            what=what,
            why=why,
            next="too many sessions of this account are open on the host: close them, or raise"
            " WSMan:\\localhost\\Service\\MaxConcurrentOperationsPerUser and WSMan:\\localhost\\Shell\\MaxShellsPerUser",
        )
    return ProviderFault(
        what=what, why=why, next=f"check the WinRM service of the host (winrm quickconfig); then {READ_AGAIN}"
    )


def _from_status(what: str, status: int, spec: EndpointSpec) -> DrError:
    why = f"{address_of(spec)} answered {status}, and not as WinRM does"
    if status in (404, 405):
        return BadInput(
            what=what,
            why=why,
            next=f"check that api_port {port_of(spec)} is WinRM's (5986 for HTTPS, 5985 for HTTP) and no other web server's",
        )
    return SiteUnreachable(
        what=what,
        why=why,
        next="check the host's WinRM service and any proxy or gateway in between; its VMs are unknown, not down",
    )


def _bad_certificate(what: str, cause: ssl.SSLCertVerificationError, spec: EndpointSpec) -> BadInput:
    return bad_certificate(
        what,
        cause,
        address_of(spec),
        expired="renew the certificate of the host's WinRM listener; until then pin it with tls_fingerprint",
        mismatch="set api_host to a name the certificate carries, or pin it with tls_fingerprint",
        unknown="set ca_path to the PEM file of the authority that issued it, or pin the certificate with tls_fingerprint (a"
        " certificate that the host made for itself can only be pinned)",
    )


def _root(found: list[BaseException]) -> BaseException:
    """Return the cause that says most."""
    for kind in (socket.gaierror, ConnectionRefusedError, TimeoutError, ssl.SSLError, ConnectionError):
        for one in found:
            if isinstance(one, kind):
                return one
    for one in found:
        if type(one).__name__ in ("ReadTimeout", "ConnectTimeout", "ReadTimeoutError", "ConnectTimeoutError"):
            return TimeoutError()
    own = [one for one in found if isinstance(one, OSError) and one.strerror]
    return own[0] if own else found[0]


def _network_words(cause: BaseException, spec: EndpointSpec) -> Words:
    port = port_of(spec)
    return network_words(
        cause,
        spec,
        machine="host",
        listener=f"api_port {port} is WinRM's; on the host: winrm enumerate winrm/config/listener",
        https=f"api_port {port} is WinRM's HTTPS listener (5986)",
    ) or (
        f"answered, but not as WinRM does ({type(cause).__name__})",
        "check that api_host and api_port belong to the host's WinRM listener and no proxy is in between",
    )
