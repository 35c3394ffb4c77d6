# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Vendor faults and network errors become our errors here, each with the technician's next move."""

from __future__ import annotations

import ssl
import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    BadInput,
    DrError,
    ProviderFault,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import READ_AGAIN, ForeignCertificate
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.network import (
    Words,
    bad_certificate,
    network_words,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.transport import (
    DEFAULT_PORT,
    Unreadable,
)

NEXT_AFTER = {
    "RestrictedVersion": "this ESXi runs on a licence whose API only reads (the free edition): enter a paid licence key"
    " on the host, or do this one step by hand in its host client and run the same command again",
    "InvalidPowerState": "the power state changed meanwhile: " + READ_AGAIN,
    "TaskInProgress": "another task works on this object: wait for it in vSphere's task list, then run the same command",
    "ManagedObjectNotFound": "the object was removed or registered anew meanwhile: " + READ_AGAIN,
    "ToolsUnavailable": "VMware Tools do not run in the guest: use a hard power off or reset instead",
    "InsufficientResourcesFault": "free memory or CPU on the host, or choose another one",
    "InsufficientHostCapacityFault": "free memory or CPU on the host, or choose another one",
    "InsufficientFailoverResourcesFault": "the cluster's HA admission control refuses: free capacity, or relax it",
    "NoDiskSpace": "free space on the datastore, then run the same command",
    "FileLocked": "another host holds the VM's files: find who runs this VM before anything else (split-brain risk)",
    "HostNotConnected": "bring the host back to its vCenter, or treat it as dead: fence it by a second witness",
    "HostNotReachable": "bring the host back to its vCenter, or treat it as dead: fence it by a second witness",
    "NotSupported": "this platform or edition cannot do it; see what `assess` lists as refused here",
    "NotImplemented": "this platform or edition cannot do it; see what `assess` lists as refused here",
}


class VendorFault(ProviderFault):
    """The hypervisor refused, and said so: ``kind`` is its own name for it, like "ManagedObjectNotFound"."""

    def __init__(self, *, kind: str, what: str, why: str, next: str, has_cure: bool = True) -> None:
        super().__init__(what=what, why=why, next=next, has_cure=has_cure)
        self.kind = kind


def from_vendor(what: str, fault: t.Any, spec: EndpointSpec) -> VendorFault:
    """Keep the vendor's words. ``fault`` is a MethodFault, raised or found in a task's ``info.error``."""
    kind = type(fault).__name__.rpartition(".")[2]
    words = getattr(fault, "localizedMessage", None) or getattr(fault, "msg", None) or ""
    why = f"{address_of(spec)} answered {kind}" + (f": {words}" if words else "")
    if kind == "NoPermission":
        privilege = getattr(fault, "privilegeId", None) or "a privilege it does not name"
        where = getattr(fault, "object", None)
        where_text = f" on {where._moId}" if where is not None else ""
        return VendorFault(
            kind=kind,
            what=what,
            why=f"{why}: the account {spec.api_user} lacks {privilege}{where_text}",
            next=f"grant {privilege} to {spec.api_user} (with propagation), or use an account that has it",
        )
    if kind == "InvalidPowerState":
        why += f" (it is {getattr(fault, 'existingState', 'unknown')})"
    cure = NEXT_AFTER.get(kind)
    general = f"look at the task in vSphere; then {READ_AGAIN}"
    return VendorFault(kind=kind, what=what, why=why, next=cure or general, has_cure=cure is not None)


def wrong_login(spec: EndpointSpec, fault: t.Any) -> BadInput:
    kind = type(fault).__name__.rpartition(".")[2]
    words = {
        "InvalidLogin": "the user name or the password is wrong (InvalidLogin)",
        "InvalidLocale": "the server refuses the locale (InvalidLocale)",
        "PasswordExpired": "the password has expired (PasswordExpired)",
    }.get(kind, f"{kind}: {getattr(fault, 'msg', '') or 'no further words'}")
    return BadInput(
        what=f"log in to {address_of(spec)} as {spec.api_user}",
        why=words,
        next="correct api_user and api_password of this endpoint (mind the domain: user@vsphere.local); repeated wrong"
        " passwords lock the account for some minutes",
    )


def from_network(what: str, cause: Exception, spec: EndpointSpec) -> DrError:
    """Tell why the endpoint could not be talked to, and the fix for exactly that."""
    address = address_of(spec)
    if isinstance(cause, ForeignCertificate):
        return BadInput(
            what=what,
            why=f"{address} is not who it should be: {cause}",
            next="if its certificate was renewed, put the new fingerprint into tls_fingerprint; otherwise find out who"
            " answers at this address before sending it a password",
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _bad_certificate(what, cause, spec)
    why, next_move = _network_words(cause, spec)
    return SiteUnreachable(what=what, why=f"{address} {why}", next=next_move)


def address_of(spec: EndpointSpec) -> str:
    return f"{spec.api_host}:{spec.api_port or DEFAULT_PORT}"


def _bad_certificate(what: str, cause: ssl.SSLCertVerificationError, spec: EndpointSpec) -> BadInput:
    return bad_certificate(
        what,
        cause,
        address_of(spec),
        expired="renew the certificate on the server; until then pin it with tls_fingerprint",
        mismatch="set api_host to a name the certificate carries, or pin it with tls_fingerprint",
        unknown="set ca_path to the PEM file of the authority that signed it, or pin it with tls_fingerprint",
    )


def _network_words(cause: Exception, spec: EndpointSpec) -> Words:
    port = spec.api_port or DEFAULT_PORT
    https = f"api_port {port} is the HTTPS port of vCenter or ESXi"
    if isinstance(cause, ssl.SSLError):
        return f"does not speak TLS as expected ({cause.reason or cause})", f"check that {https}"
    found = network_words(
        cause,
        spec,
        machine="host",
        listener=f"api_port {port} is right; on ESXi restart hostd or the management agents",
        https=https,
        far="endpoint",
    )
    if found is not None:
        return found
    if isinstance(cause, Unreadable):
        return (
            f"answered, but not as a vSphere API does ({cause})",
            "check that api_host and api_port belong to a vCenter or an ESXi",
        )
    return (
        f"answered at HTTP level only ({cause or type(cause).__name__})",
        "check that api_host is a vCenter or ESXi whose services have finished starting",
    )
