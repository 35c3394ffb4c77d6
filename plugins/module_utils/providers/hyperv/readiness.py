# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a pair of hosts less ready than it looks, in words: what would bite on the day of the failover or on the way home."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import say_duration
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import (
    Relation,
    Server,
    Sheet,
    Survey,
)

LATE_AFTER = 3  # so many times its frequency may a replication be behind
QUIET_STATES = ("Replicating", "PreparedForFailover")
STATE_WORDS = {
    "Suspended": "its replication is suspended: the replica grows old until Resume-VMReplication",
    "Error": "its replication is in error: a failover from this state is refused, it must be resumed or resynchronised",
    "WaitingForStartResynchronize": "its replication waits to be resynchronised (Resume-VMReplication -Resynchronize)",
    "ResynchronizeSuspended": "its resynchronisation is suspended",
    "Resynchronizing": "its replication is being resynchronised",
    "ReadyForInitialReplication": "its first replication was never started",
    "WaitingForInitialReplication": "it waits for its first replication",
    "InitialReplicationInProgress": "its first replication is under way",
    "UpdateError": "an update of its replicated disks failed",
    "FailedOver": "it was failed over and nothing protects it until its replication is reversed",
}


def findings(here: Survey, there: Survey | None, mine: EndpointSpec, other: EndpointSpec) -> dict[str, str]:
    """Return the findings of one host, each with the GUID of the VM that it is about, "" where it is about the host.

    ``there`` is the other host of the site, None where it does not answer.
    """
    found: dict[str, str] = {}
    receives = [s for s in here.sheets if s.relation is not None]
    if receives:
        # Entries hold full names: a short one of the inventory would be missed in them
        told = (other.replica_server or "", there.fqdn if there is not None else "", other.node)
        sender = next((name for name in told if "." in name), "")
        found.update(dict.fromkeys(_server(here, mine, sender, receives), ""))
    for sheet in receives:
        counterpart = there.sheet(sheet.id) if there is not None else None
        # A test VM is no copy of the site's, and does not name the one that it was made of: everybody is told
        about = sheet.id if sheet.mode != "TestReplica" else ""
        for words in _relation(here, there, sheet, counterpart, other):
            found.setdefault(f"{sheet.name}: {words}", about)
    for sheet in here.sheets:
        if sheet.is_clustered:
            words = "is a role of a failover cluster, which moves and starts it by itself: it is not acted on"
            found.setdefault(f"{sheet.name} {words}", sheet.id)
        if sheet.unread:
            found.setdefault(f"{sheet.name}: {here.name} does not show all of it: {sheet.unread}", sheet.id)
    return found


def is_late(sheet: Sheet, relation: Relation) -> float | None:
    """Return the age of the last replication where it is too old, by the clock of the host itself."""
    if relation.last_at_s is None or not relation.frequency_s:
        return None
    age_s = sheet.read_at_s - relation.last_at_s
    return age_s if age_s > LATE_AFTER * relation.frequency_s else None


# --- the host --------------------------------------------------------------------------------------------------------


def _server(here: Survey, mine: EndpointSpec, sender: str, sheets: list[Sheet]) -> list[str]:
    """Return what would refuse a replication that comes here: of every pair one host must, on the way home the other."""
    server, name = here.server, here.name
    if not server.is_enabled:
        return [
            f"{name} is not set up as a replica server: nothing can be replicated to it, so a way back to it is not prepared"
            " (Set-VMReplicationServer -ReplicationEnabled $true)"
        ]
    found = []
    if sender and not _allows(server, sender):
        found.append(
            f"{name} has no authorization entry for {sender}: it would refuse a replication from there"
            f" (New-VMReplicationAuthorizationEntry -AllowedPrimaryServer {sender} ...)"
        )
    kinds = {sheet.relation.authentication for sheet in sheets if sheet.relation is not None}
    for kind, rule, port in (
        ("Kerberos", server.http_rule, server.kerberos_port),
        ("Certificate", server.https_rule, server.certificate_port),
    ):
        if kind not in kinds:
            continue
        if server.authentication and kind not in server.authentication:
            found.append(
                f"{name} takes replications by {server.authentication} only, and its VMs replicate by {kind.lower()}"
            )
        if rule == "False":
            word = "HTTP" if kind == "Kerberos" else "HTTPS"
            found.append(
                f"{name}: the firewall rule 'Hyper-V Replica {word} Listener (TCP-In)' is off, port {port} is closed to a"
                " replication that comes here"
            )
    if "Certificate" in kinds:
        found += _certificate(here, mine)
    return found


def _allows(server: Server, sender: str) -> bool:
    return server.allows_any or any(wire.admits(entry, sender) for entry in server.entries)


def _certificate(here: Survey, mine: EndpointSpec) -> list[str]:
    own, told = wire.to_thumbprint(here.server.thumbprint), wire.to_thumbprint(mine.replica_thumbprint or "")
    if not own:
        return [f"{here.name} has no certificate chosen for replication: it can receive none by certificate"]
    if told and told != own:
        return [
            f"replica_thumbprint of {here.name} in dr_site is {told}, but the host replicates with {own}: a reversal would"
            " name a certificate that it may not have"
        ]
    return []


# --- one VM ----------------------------------------------------------------------------------------------------------


def _relation(
    here: Survey, there: Survey | None, sheet: Sheet, counterpart: Sheet | None, other: EndpointSpec
) -> list[str]:
    relation = sheet.relation
    if relation is None:
        return []
    is_held = bool({stamps.RUN, stamps.FENCED} & set(sheet.stamps))
    found = []
    if relation.mode == "TestReplica":
        return [f"a test failover runs on {here.name}: it must be cleaned up before a failover"]
    if relation.state == "PreparedForFailover":
        unseen = ""
        if there is not None and counterpart is not None:
            unseen = f"; {there.name} cannot see that and shows {counterpart.replication_state}"
        found.append(f"it is prepared for failover on {here.name} and locked there{unseen}")
    if relation.state in STATE_WORDS and not is_held:
        found.append(f"{STATE_WORDS[relation.state]} ({relation.state} on {here.name})")
    if relation.state == "FailedOverWaitingCompletion" and not is_held:
        found.append(f"a failover without a stamp of ours is under way on {here.name} (FailedOverWaitingCompletion)")
    if relation.health in ("Warning", "Critical") and not is_held:
        details = "; ".join(relation.details) or "no details given"
        found.append(f"replication health is {relation.health.lower()} on {here.name}: {details}")
    if relation.state in QUIET_STATES and not is_held:
        late_s = is_late(sheet, relation)
        if late_s is not None:
            found.append(
                f"last replicated {say_duration(late_s)} ago by the clock of {here.name}, and it should every"
                f" {say_duration(relation.frequency_s)}: its primary may be dead, or the way between the hosts broken"
            )
    if relation.has_extended:
        found.append("it has an extended replica as well, which is not looked after here")
    if relation.is_primary:
        found += _disks(sheet, relation)
        if counterpart is not None and not is_held and not (sheet.unread or counterpart.unread):
            found += _drift(sheet, counterpart)
            found += _switches(sheet, counterpart, there, other)
        if there is not None and counterpart is None:
            found.append(f"it replicates to {relation.current or relation.replica}, but {there.name} shows no such VM")
    return found


def _disks(sheet: Sheet, relation: Relation) -> list[str]:
    """Name the disks that are not replicated: one that was added later is in no set by itself."""
    inside = {path.lower() for path in relation.disks}
    if not inside:
        return []
    outside = [path for path in sheet.disks if path.lower() not in inside]
    return [f"disk {path} is not replicated: it would be missing after a failover" for path in outside]


def _drift(primary: Sheet, replica: Sheet) -> list[str]:
    """Say what was changed on the primary only: Hyper-V does not replicate a VM's configuration."""
    found = []
    if primary.cpu_count != replica.cpu_count:
        found.append(
            f"it has {primary.cpu_count} CPUs, its replica {replica.cpu_count}: configuration is not replicated"
        )
    if primary.memory_bytes != replica.memory_bytes:
        mib = 2**20
        found.append(
            f"it has {primary.memory_bytes // mib} MiB of memory, its replica {replica.memory_bytes // mib} MiB:"
            " configuration is not replicated"
        )
    if len(primary.nics) != len(replica.nics):
        found.append(
            f"it has {len(primary.nics)} NICs, its replica {len(replica.nics)}: configuration is not replicated"
        )
    return found


def _switches(primary: Sheet, replica: Sheet, there: Survey | None, other: EndpointSpec) -> list[str]:
    """A replica's NICs are on no switch, and that is normal; what must be there is the switch for its promotion."""
    if there is None or replica.mode != "Replica":
        return []
    wanted = [other.network] if other.network else [nic.switch for nic in primary.nics if nic.switch]
    return [
        f"{there.name} has no switch {name!r} to connect it to after a promotion (it has {', '.join(there.switches) or 'none'}):"
        " make one, or name another with network of this endpoint"
        for name in dict.fromkeys(wanted)
        if not any(wire.is_same(name, one) for one in there.switches)
    ]
