# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Proxmox VE and the network answer becomes our errors here, each with the technician's next move, none with a secret."""

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
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.transport import (
    DEFAULT_PORT,
    Unreadable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import READ_AGAIN, ForeignCertificate
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.network import (
    NO_SUCH_NAME,
    Words,
    bad_certificate,
    network_words,
)

NODE_SILENT = frozenset({595, 596, 599})  # the node asked could not talk to the one that should answer
NOT_CONNECTED = 595  # of these the one that says that the call never got there


class Kind(StrEnum):
    """What Proxmox VE meant; most of its refusals are a 500 and a sentence."""

    NO_SUCH_VM = "no_such_vm"
    NO_SUCH_THING = "no_such_thing"  # job, storage, volume, HA resource
    EXISTS = "exists"
    NO_QUORUM = "no_quorum"
    NODE_SILENT = "node_silent"
    NO_RIGHT = "no_right"
    LOCKED = "locked"
    NOT_RUNNING = "not_running"
    RUNNING = "running"
    AGENT_SILENT = "agent_silent"
    AGENT_OFF = "agent_off"
    CHANGED_MEANWHILE = "changed_meanwhile"  # the digest is not the one that was read
    BAD_PARAMETER = "bad_parameter"
    NOT_IMPLEMENTED = "not_implemented"
    STORAGE_FULL = "storage_full"
    OTHER = "other"


# The first that fits names the kind.
_SENTENCES: tuple[tuple[str, Kind], ...] = (
    (r"no quorum|not quorate|/etc/pve/\S+' - Permission denied", Kind.NO_QUORUM),
    (
        r"Configuration file '\S+' does not exist|unable to find configuration file for VM|VM \d+ does not exist",
        Kind.NO_SUCH_VM,
    ),
    (r"VM \d+ is not running|VM \d+ not running", Kind.NOT_RUNNING),
    (
        r"QEMU guest agent is not running|guest agent is not running|qmp command 'guest-|got timeout.*agent",
        Kind.AGENT_SILENT,
    ),
    (r"No QEMU guest agent configured", Kind.AGENT_OFF),
    (r"VM is locked|CT is locked|can't lock file|trying to acquire lock|got lock timeout", Kind.LOCKED),
    (r"VM \d+ already running|VM is running|VM \d+ is running", Kind.RUNNING),
    (r"already exists|already in use|config file already exists|already defined", Kind.EXISTS),
    (r"detected modified configuration|file changed by other user", Kind.CHANGED_MEANWHILE),
    (r"no space left|out of space|not enough space|No space left", Kind.STORAGE_FULL),
    (
        r"no such job|replication job '\S+' does not exist|no such resource|no such node|storage '\S+' does not exist",
        Kind.NO_SUCH_THING,
    ),
    (r"does not exist|no such", Kind.NO_SUCH_THING),
)
_NEXT: dict[Kind, str] = {
    Kind.NO_SUCH_VM: f"it was removed or moved to another node meanwhile: {READ_AGAIN}",
    Kind.NO_QUORUM: "the cluster has no quorum and is read-only: bring the other node or the QDevice back; or, once the dead node is"
    " proven off, run `pvecm expected 1` on this node (configure ssh_user for this endpoint and it is done for you)",
    Kind.NODE_SILENT: "its node does not answer the one asked: bring it back, or treat it as dead (fence it by a second witness)",
    Kind.LOCKED: "another task works on this VM: wait for it in the node's task list; a stale lock goes with `qm unlock` on the node",
    Kind.CHANGED_MEANWHILE: f"somebody changed the configuration meanwhile: {READ_AGAIN}",
    Kind.STORAGE_FULL: "free space on the storage, then run the same command",
    Kind.AGENT_SILENT: "use a hard stop or reset instead; in the guest, check the service qemu-guest-agent",
    Kind.AGENT_OFF: "install qemu-guest-agent in the guest and enable it in the VM's options",
    Kind.NOT_IMPLEMENTED: "this release of Proxmox VE does not know the call: upgrade it to 8.1 or newer",
}
# The smallest role that Proxmox VE brings with each privilege.
_ROLE_OF = (
    (r"(VM|Sys|Datastore|Pool|Mapping|SDN)\.Audit|VM\.GuestAgent\.Audit", "PVEAuditor"),
    (r"VM\.(PowerMgmt|Console|Backup|Config\.CDROM|Config\.Cloudinit)|VM\.GuestAgent\..*", "PVEVMUser"),
    (r"VM\..*", "PVEVMAdmin"),
    (r"Datastore\.AllocateSpace", "PVEDatastoreUser"),
    (r"Datastore\..*", "PVEDatastoreAdmin"),
    (r"SDN\.Use", "PVESDNUser"),
    (r"Pool\..*", "PVEPoolAdmin"),
    (r"Sys\.(Console|Syslog)", "PVESysAdmin"),
)
_SECRETS = (
    (r"PVE[A-Z]*:(?:[^\s:]+:)?[0-9A-F]{8}::[^\s\"',&]+", "<ticket>"),
    (r"(PVEAPIToken=[^!\s]+![^=\s]+=)[^\s,\"']+", r"\1<secret>"),
    (r"((?:password|ticket|vncticket)[\"']?\s*[=:]\s*[\"']?)[^\s,\"'&]+", r"\1<secret>"),
)


class VendorFault(ProviderFault):
    """The hypervisor refused, and said so. ``status`` is the HTTP status, 0 for the end of a task."""

    def __init__(
        self,
        *,
        kind: Kind,
        status: int,
        what: str,
        why: str,
        next: str,
        has_cure: bool = True,
        is_answer_lost: bool = False,
    ) -> None:
        super().__init__(what=what, why=why, next=next, has_cure=has_cure, is_answer_lost=is_answer_lost)
        self.kind = kind
        self.status = status


class NoSuchVm(VendorFault):
    """No node of the cluster asked holds a configuration of this VM (it answers 500, not 404)."""


def from_answer(what: str, status: int, text: str, errors: t.Any, spec: EndpointSpec) -> VendorFault:
    """Keep the vendor's words: ``text`` is the status line's phrase, ``errors`` its words per parameter."""
    words = " ".join(text.split())
    if isinstance(errors, dict) and errors:
        words += " (" + "; ".join(f"{key}: {' '.join(str(value).split())}" for key, value in errors.items()) + ")"
    kind = _kind(status, words)
    why = f"{address_of(spec)} answered {status}" + (f": {words}" if words else "")
    if kind is Kind.NO_RIGHT:
        return _no_right(what, words, status, why, spec)
    is_answer_lost = status in NODE_SILENT and status != NOT_CONNECTED
    return _fault(what, kind, status, clean(why, spec), is_answer_lost=is_answer_lost)


def from_task(what: str, upid: str, end: str, log_tail: tuple[str, ...], spec: EndpointSpec) -> VendorFault:
    """Tell how a task failed: ``end`` is its exit status, a sentence."""
    words = " ".join(end.split())
    kind = _kind(500, " ".join((words, *log_tail[-3:])))
    why = clean(f"task {upid} at {address_of(spec)} ended with: {words}", spec)
    return _fault(what, kind, 0, why, is_answer_lost=False)


def wrong_login(spec: EndpointSpec, text: str) -> BadInput:
    who = account_of(spec)
    if spec.api_token_id:
        next_move = (
            "check api_token_id (user@realm!name) and api_token_secret, and that neither the token nor its user has expired"
            f" (pveum user token list {who.partition('!')[0]}); Proxmox VE answers each wrong try only after 3 s"
        )
    else:
        next_move = (
            "correct api_user (mind the realm: root@pam, dr@pve) and api_password of this endpoint, or use an API token"
        )
    kind = "API token" if spec.api_token_id else "user name or the password"
    return BadInput(
        what=f"log in to {address_of(spec)} as {who}",
        why=f"the {kind} is not accepted: {clean(text, spec)}",
        next=next_move,
    )


def from_network(what: str, cause: Exception, spec: EndpointSpec) -> DrError:
    """Tell why the endpoint could not be talked to, and the fix for exactly that."""
    address = address_of(spec)
    if isinstance(cause, ForeignCertificate):
        return BadInput(
            what=what,
            why=f"{address} is not who it should be: {cause}",
            next="if the node's certificate was renewed, put the new fingerprint into tls_fingerprint; otherwise find out who"
            " answers at this address before sending it a token",
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _bad_certificate(what, cause, spec)
    why, next_move = _network_words(cause, spec)
    if isinstance(cause, socket.gaierror) and cause.errno in NO_SUCH_NAME:
        return BadInput(what=what, why=f"{address} {why}", next=next_move)  # a name server that is down says otherwise
    return SiteUnreachable(what=what, why=f"{address} {clean(why, spec)}", next=next_move)


def address_of(spec: EndpointSpec) -> str:
    return f"{spec.api_host}:{spec.api_port or DEFAULT_PORT}"


def account_of(spec: EndpointSpec) -> str:
    """Return user@realm, with a token user@realm!name: never a secret."""
    token = spec.api_token_id
    if not token:
        return spec.api_user or ""
    return token if "!" in token else f"{spec.api_user or ''}!{token}"


def clean(text: str, spec: EndpointSpec | None = None) -> str:
    """Take out whatever is a secret or looks like one, and line breaks."""
    for pattern, instead in _SECRETS:
        text = re.sub(pattern, instead, text)
    for secret in (spec.api_token_secret, spec.api_password) if spec is not None else ():
        if secret:
            text = text.replace(secret, "<secret>")
    return " ".join(text.split())


# --- inside ----------------------------------------------------------------------------------------------------------


def _kind(status: int, words: str) -> Kind:
    if status in NODE_SILENT:
        return Kind.NODE_SILENT
    if status == 403 or "root-only" in words:
        return Kind.NO_RIGHT
    if status == 501:
        return Kind.NOT_IMPLEMENTED
    for pattern, kind in _SENTENCES:
        if re.search(pattern, words, re.IGNORECASE):
            return kind
    return Kind.BAD_PARAMETER if status == 400 else Kind.NO_SUCH_THING if status == 404 else Kind.OTHER


def _fault(what: str, kind: Kind, status: int, why: str, *, is_answer_lost: bool) -> VendorFault:
    cure = _NEXT.get(kind)
    general = f"look at the node's task list and its system log; then {READ_AGAIN}"
    build = NoSuchVm if kind is Kind.NO_SUCH_VM else VendorFault
    return build(
        kind=kind,
        status=status,
        what=what,
        why=why,
        next=cure or general,
        has_cure=cure is not None,
        is_answer_lost=is_answer_lost,
    )


def _no_right(what: str, words: str, status: int, why: str, spec: EndpointSpec) -> VendorFault:
    who = account_of(spec)
    found = re.search(r"\((/[^,)]*),\s*([^)]+)\)", words)
    if found is None:
        next_move = (
            f"{who} may not do this at all (only root@pam's own login may): do this step by hand on the node's console"
        )
        if "root" not in words:
            next_move = (
                f"grant {who} the privilege that the answer names (Datacenter > Permissions), or use another account"
            )
        return VendorFault(kind=Kind.NO_RIGHT, status=status, what=what, why=clean(why, spec), next=next_move)
    path, privilege = found.group(1), found.group(2).strip()
    first = re.split(r"[\s|,]+", privilege)[0]
    role = next((role for pattern, role in _ROLE_OF if re.fullmatch(pattern, first)), "PVEAdmin")
    grant = f"grant {who} the role {role} (it holds {first}) on {path}: pveum acl modify {path} "
    grant += f"--tokens '{who}' --roles {role}" if "!" in who else f"--users '{who}' --roles {role}"
    if "!" in who:
        grant += "; a token with privilege separation needs it beside its user, so grant it to both"
    return VendorFault(
        kind=Kind.NO_RIGHT,
        status=status,
        what=what,
        why=clean(f"{why}: {who} lacks {privilege} on {path}", spec),
        next=grant,
    )


def _bad_certificate(what: str, cause: ssl.SSLCertVerificationError, spec: EndpointSpec) -> BadInput:
    return bad_certificate(
        what,
        cause,
        address_of(spec),
        expired="renew the node's certificate (pvecm updatecerts --force); until then pin it with tls_fingerprint",
        mismatch="set api_host to a name or address the certificate carries, or pin it with tls_fingerprint",
        unknown="set ca_path to a copy of the cluster's /etc/pve/pve-root-ca.pem, or pin the certificate with tls_fingerprint",
    )


def _network_words(cause: Exception, spec: EndpointSpec) -> Words:
    port = spec.api_port or DEFAULT_PORT
    found = network_words(
        cause,
        spec,
        machine="node",
        listener=f"api_port {port} is right; on the node: systemctl status pveproxy",
        https=f"api_port {port} is the HTTPS port of Proxmox VE (8006)",
    )
    if found is not None:
        return found
    if isinstance(cause, Unreadable):
        return (
            f"answered, but not as a Proxmox VE API does ({cause})",
            "check that api_host and api_port belong to a Proxmox VE node and no proxy or portal is in between",
        )
    return (
        f"answered at HTTP level only ({cause or type(cause).__name__})",
        "check that api_host is a Proxmox VE node whose pveproxy has finished starting",
    )
