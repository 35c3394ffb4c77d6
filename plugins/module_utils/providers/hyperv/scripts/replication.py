# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done to a replication, each line local to the host that it is sent to; and what makes a host fit to receive one.

Hyper-V itself guards little here: -AsReplica and the failover onto a host do not ask whether the other copy runs. What one host can
see by itself is therefore asked once more in the script, right before the command.
"""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.machine import BEGIN, END
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

_OFF_ONLY = """\
if ([string]$vm.State -ne 'Off') {
    throw 'ferragosto.dr.not_off'
}
"""


def _act(name: str, lines: str, *shown: str) -> Script:
    return Script(name=name, text=BEGIN + lines + END, shown=shown)


KEEP_STILL = _act(
    "keep the VM still",
    """\
if ([string]$vm.State -eq 'Saved') {
    Remove-VMSavedState -VM $vm
}
if ([string]$vm.AutomaticStartAction -ne 'Nothing') {
    Set-VM -VM $vm -AutomaticStartAction 'Nothing'
}
""",
    "Set-VM -VM $p.id -AutomaticStartAction Nothing",
    "Remove-VMSavedState -VM $p.id, where there is one",
)

AS_REPLICA = _act(
    "make the VM a replica",
    _OFF_ONLY + "Set-VMReplication -VM $vm -AsReplica\n",
    "Set-VMReplication -VM $p.id -AsReplica",
)

# Where not every server may replicate here, the authorization entry to go by must be named.
AS_REPLICA_BY_ENTRY = _act(
    "make the VM a replica by an entry",
    _OFF_ONLY + "Set-VMReplication -VM $vm -AsReplica -AllowedPrimaryServer $p.entry\n",
    "Set-VMReplication -VM $p.id -AsReplica -AllowedPrimaryServer $p.entry",
)

COMPLETE = _act(
    "complete the failover",
    "Complete-VMFailover -VM $vm -Confirm:$false\n",
    "Complete-VMFailover -VM $p.id",
)

REVERSE = _act(
    "reverse the replication without a certificate",
    "Set-VMReplication -VM $vm -Reverse -ReplicaServerName $p.server\n",
    "Set-VMReplication -VM $p.id -Reverse -ReplicaServerName $p.server",
)

# With certificates the thumbprint must be given, also where one is stored.
REVERSE_BY_CERTIFICATE = _act(
    "reverse the replication",
    "Set-VMReplication -VM $vm -Reverse -ReplicaServerName $p.server -CertificateThumbprint $p.thumbprint\n",
    "Set-VMReplication -VM $p.id -Reverse -ReplicaServerName $p.server -CertificateThumbprint $p.thumbprint",
)

START_INITIAL = _act(
    "start the first replication",
    "Start-VMInitialReplication -VM $vm\n",
    "Start-VMInitialReplication -VM $p.id",
)

SUSPEND = _act(
    "suspend the replication",
    "Suspend-VMReplication -VM $vm\n",
    "Suspend-VMReplication -VM $p.id",
)

RESUME = _act(
    "resume the replication",
    """\
if ($p.resynchronize) {
    Resume-VMReplication -VM $vm -Resynchronize
}
else {
    Resume-VMReplication -VM $vm
}
""",
    "Resume-VMReplication -VM $p.id (-Resynchronize, where its state asks for it)",
)

PREPARE = _act(
    "prepare the failover",
    _OFF_ONLY + "Start-VMFailover -VM $vm -Prepare -Confirm:$false\n",
    "Start-VMFailover -VM $p.id -Prepare",
)

FAIL_OVER = _act(
    "fail over to the newest log",
    _OFF_ONLY + "Start-VMFailover -VM $vm -Confirm:$false\n",
    "Start-VMFailover -VM $p.id",
)

CANCEL = _act(
    "stop the failover",
    "Stop-VMFailover -VM $vm\n",
    "Stop-VMFailover -VM $p.id",
)

# --- a test failover -------------------------------------------------------------------------------------------------

SET_TEST_SWITCH = Script(
    name="name the switch of the test",
    text="""\
param($p)
$vm = Get-VM -Id $p.id
foreach ($adapter in @(Get-VMNetworkAdapter -VM $vm)) {
    foreach ($wanted in @($p.switches)) {
        if ([string]$adapter.Id -eq $wanted.id) {
            Set-VMNetworkAdapter -VMNetworkAdapter $adapter -TestReplicaSwitchName $wanted.switch
        }
    }
}
$after = @(Get-VMNetworkAdapter -VM $vm)
[pscustomobject]@{
    switches = @($after | ForEach-Object { [string]$_.TestReplicaSwitchName })
}
""",
    shown=("Set-VMNetworkAdapter -VM $p.id -TestReplicaSwitchName $p.switch",),
)

START_TEST = Script(
    name="start the test failover",
    text="""\
param($p)
$vm = Get-VM -Id $p.id
if ($p.point -eq '') {
    $test = Start-VMFailover -VM $vm -AsTest -Confirm:$false
}
else {
    $found = @(Get-VMSnapshot -VM $vm | Where-Object { [string]$_.Id -eq $p.point })
    if ($found.Count -ne 1) {
        throw 'ferragosto.dr.no_such_point'
    }
    $test = Start-VMFailover -VMRecoverySnapshot $found[0] -AsTest -Confirm:$false
}
[pscustomobject]@{
    id = [string]$test.Id
    name = [string]$test.Name
}
""",
    shown=("Start-VMFailover -VM $p.id -AsTest",),
)

TEST_STATE = Script(
    name="look at the test failover",
    text="""\
param($p)
$vm = Get-VM -Id $p.id
$relation = Get-VMReplication -VM $vm | Select-Object -First 1
$test = $relation.TestVirtualMachine
$id = ''
$name = ''
$state = ''
if ($null -ne $test) {
    $id = [string]$test.Id
    $name = [string]$test.Name
    $state = [string]$test.State
}
[pscustomobject]@{
    id = $id
    name = $name
    state = $state
    nics = @(Get-VMNetworkAdapter -VM $vm | ForEach-Object {
        [pscustomobject]@{
            id = [string]$_.Id
            switch = [string]$_.TestReplicaSwitchName
        }
    })
}
""",
)

# --- reads -----------------------------------------------------------------------------------------------------------

RECEIVER = Script(
    name="read the replica server",
    text="""\
param($p)
$node = Get-VMHost
$server = Get-VMReplicationServer
$allowed = @()
foreach ($entry in @(Get-VMReplicationAuthorizationEntry)) {
    $allowed = $allowed + @([string]$entry.AllowedPrimaryServer)
}
$rules = @()
$is_firewall_read = $true
try {
    $names = @('VIRT-HVRHTTPL-In-TCP-NoScope', 'VIRT-HVRHTTPSL-In-TCP-NoScope')
    foreach ($rule in @(Get-NetFirewallRule -Name $names -ErrorAction Stop)) {
        if ([string]$rule.Enabled -eq 'True') {
            $rules = $rules + @([string]$rule.Name)
        }
    }
}
catch {
    $is_firewall_read = $false
}
$switches = @()
foreach ($one in @(Get-VMSwitch)) {
    $switches = $switches + @([string]$one.Name)
}
$memory_free = [long]-1
try {
    $windows = Get-CimInstance -ClassName 'Win32_OperatingSystem' -ErrorAction Stop
    $memory_free = [long]$windows.FreePhysicalMemory * 1024
}
catch {
    $memory_free = [long]-1
}
[pscustomobject]@{
    fqdn = [string]$node.FullyQualifiedDomainName
    is_enabled = [bool]$server.ReplicationEnabled
    authentication = [string]$server.AllowedAuthenticationType
    is_any_allowed = [bool]$server.ReplicationAllowedFromAnyServer
    thumbprint = [string]$server.CertificateThumbprint
    http_port = [int]$server.KerberosAuthenticationPort
    https_port = [int]$server.CertificateAuthenticationPort
    allowed = @($allowed)
    open_rules = @($rules)
    is_firewall_read = $is_firewall_read
    switches = @($switches)
    memory_free = $memory_free
}
""",
)

_TRY = "    $said = Test-VMReplicationConnection -ReplicaServerName $p.server -ReplicaServerPort $p.port"

TRY_CONNECTION = Script(
    name="try the connection to the replica server",
    text="param($p)\nif ($p.thumbprint -eq '') {\n"
    + f"{_TRY} -AuthenticationType Kerberos\n"
    + "}\nelse {\n"
    + f"{_TRY} -AuthenticationType Certificate -CertificateThumbprint $p.thumbprint\n"
    + """\
}
[pscustomobject]@{
    said = [string]$said
}
""",
)

ALL = (
    KEEP_STILL,
    AS_REPLICA,
    AS_REPLICA_BY_ENTRY,
    COMPLETE,
    REVERSE,
    REVERSE_BY_CERTIFICATE,
    START_INITIAL,
    SUSPEND,
    RESUME,
    PREPARE,
    FAIL_OVER,
    CANCEL,
    SET_TEST_SWITCH,
    START_TEST,
    TEST_STATE,
    RECEIVER,
    TRY_CONNECTION,
)
