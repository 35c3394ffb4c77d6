# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replication as objects of the real classes: VMReplication, VMReplicationHealth, VMReplicationServer."""

from __future__ import annotations

import datetime as dt
import uuid

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import messages
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.health import health, missed
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import AuthorizationEntry, Host
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects import (
    HYPERV,
    enum,
    hard_disk_drive,
    of_class,
    virtual_machine,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import PSObject
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import Endpoint

_BYTES_OF_A_LOG = 12 * 2**20


def _common(context: Context, machine: Machine, end: Endpoint) -> dict[str, object]:
    host = context.fleet.hosts[machine.host]
    is_replica = end.mode in ("Replica", "ExtendedReplica", "TestReplica")
    return {
        "VMId": machine.id,
        "VMName": machine.name,
        "VMSnapshotId": uuid.UUID(int=0),
        "VMSnapshotName": "",
        "ReplicationMode": enum("VMReplicationMode", end.mode),
        "ReplicationState": enum("VMReplicationState", end.state),
        "ReplicationHealth": enum("VMReplicationHealthState", health(end, context.fleet.now_s())[0]),
        "ReplicationRelationshipType": enum("VMReplicationRelationshipType", "Simple"),
        "PrimaryServerName": end.primary_server,
        "ReplicaServerName": end.replica_server,
        "CurrentReplicaServerName": host.name if is_replica else end.replica_server,
        "AllowedPrimaryServer": end.allowed_primary_server,
        "LastReplicationTime": context.local(end.last_replication_s),
        "LastAppliedLogTime": context.local(end.last_applied_s),
        "ReplicatedDisks": [hard_disk_drive(context, machine, d) for d in machine.disks if d.is_replicated],
        "TestVirtualMachine": virtual_machine(context, end.test) if end.test else None,
        "ComputerName": host.computer_name,
        "IsDeleted": False,
    }


def vm_replication(context: Context, machine: Machine, end: Endpoint) -> PSObject:
    """Show one side of a relationship as it is now; ``base`` is the Machine."""
    common = _common(context, machine, end)
    return of_class(
        HYPERV + "VMReplication",
        {
            **common,
            "AuthenticationType": enum("ReplicationAuthenticationType", end.authentication),
            "CertificateThumbprint": end.thumbprint,
            "ReplicaServerPort": end.port,
            "ReplicationFrequencySec": end.frequency_s,
            "RecoveryHistory": end.recovery_history,
            "VSSSnapshotFrequencyHour": end.vss_hours,
            "VSSSnapshotReplicationEnabled": end.vss_hours > 0,
            "CompressionEnabled": end.is_compressed,
            "BypassProxyServer": False,
            "ReplicateHostKvpItems": True,
            "EnableWriteOrderPreservationAcrossDisks": True,
            "AutoResynchronizeEnabled": end.auto_resynchronize,
            "AutoResynchronizeIntervalStart": dt.timedelta(hours=18, minutes=30),
            "AutoResynchronizeIntervalEnd": dt.timedelta(hours=6),
            "InitialReplicationStartTime": None,
            "ResynchronizeStartTime": None,
            "ExcludedDisks": [hard_disk_drive(context, machine, d) for d in machine.disks if not d.is_replicated],
        },
        base=machine,
    )


def vm_replication_health(context: Context, machine: Machine, end: Endpoint) -> PSObject:
    """Show the statistics of one side; ``base`` is the Machine."""
    common, now_s = _common(context, machine, end), context.fleet.now_s()
    is_cut = end.last_replication_s is None
    points = [p.made_at_s for p in machine.checkpoints if p.kind == "AppConsistentReplica"]
    latency = dt.timedelta(seconds=4) if end.successes else None
    gone = missed(end, now_s)
    return of_class(
        HYPERV + "VMReplicationHealth",
        {
            **common,
            "CurrentTask": [],
            "MonitoringStartTime": context.local(end.monitoring_since_s),
            "MonitoringEndTime": context.local(now_s),
            "LastReplicationType": enum("VMReplicationType", end.last_type),
            "FailedOverReplicationType": enum("VMReplicationType", end.failed_over_type),
            "LastTestFailoverInitiatedTime": context.local(end.last_test_s),
            "LastVSSSnapshotTime": context.local(max(points, default=None)),
            "InitialReplicationSize": sum(d.size_bytes for d in machine.disks if d.is_replicated) if is_cut else 0,
            "PendingReplicationSize": _BYTES_OF_A_LOG * gone if end.mode == "Primary" else 0,
            "AverageReplicationSize": _BYTES_OF_A_LOG if end.successes else 0,
            "MaximumReplicationSize": _BYTES_OF_A_LOG * 4 if end.successes else 0,
            "AverageReplicationLatency": latency,
            "MaximumReplicationLatency": latency,
            "ReplicationErrors": end.errors,
            "SuccessfulReplicationCount": end.successes,
            "MissedReplicationCount": gone,
            "ReplicationHealthDetails": [messages.text(key, context.culture) for key in health(end, now_s)[1]],
        },
        base=machine,
    )


def vm_replication_server(context: Context, host: Host) -> PSObject:
    server = host.server
    return of_class(
        HYPERV + "VMReplicationServer",
        {
            "ReplicationEnabled": server.is_enabled,
            "AllowedAuthenticationType": enum("RecoveryAuthenticationType", server.authentication),
            "ReplicationAllowedFromAnyServer": any(entry.is_for_all for entry in server.entries),
            "AuthorizationEntries": [authorization_entry(host, entry) for entry in server.entries],
            "CertificateThumbprint": server.thumbprint,
            "CertificateAuthenticationPort": server.certificate_port,
            "KerberosAuthenticationPort": server.kerberos_port,
            "DefaultStorageLocation": server.storage_location,
            "MonitoringInterval": dt.timedelta(hours=12),
            "MonitoringStartTime": dt.timedelta(hours=9),
            "OperationalStatus": [enum("VMReplicationServerOperationalStatus", "Ok")],
            "StatusDescriptions": [messages.text("status_ok", context.culture)],
            "ComputerName": host.computer_name,
            "IsDeleted": False,
        },
        base=server,
    )


def authorization_entry(host: Host, entry: AuthorizationEntry) -> PSObject:
    return of_class(
        HYPERV + "VMReplicationAuthorizationEntry",
        {
            "AllowedPrimaryServer": entry.allowed_primary_server,
            "ReplicaStorageLocation": entry.storage_location,
            "TrustGroup": entry.trust_group,
            "ComputerName": host.computer_name,
            "IsDeleted": False,
        },
        base=entry,
    )
