# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read on a host: all of it in one script, one VM, its events, its screen. Nothing here changes anything.

Enums leave as their English names, instants as UTC in ISO 8601, ids as strings: what ConvertTo-Json of PowerShell 5.1 makes of
the objects themselves differs from release to release. What an account without full rights may not see is an empty string, and
only what nothing can be done without ends the script.
"""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

INSTANT = """\
function Get-DrInstant {
    param($at)
    if ($null -eq $at) {
        return ''
    }
    return $at.ToUniversalTime().ToString('o')
}
"""

POINTS = (
    INSTANT
    + """\
function Get-DrPoint {
    param($vm)
    foreach ($point in @(Get-VMSnapshot -VM $vm)) {
        [pscustomobject]@{
            id = [string]$point.Id
            name = [string]$point.Name
            type = [string]$point.SnapshotType
            at = Get-DrInstant -at $point.CreationTime
        }
    }
}
"""
)

# One VM, as Sheet in survey.py takes it. -VM goes by the object, so by its Id: names are not unique.
SHEET = (
    POINTS
    + """\
function Get-DrAdapter {
    param($vm)
    foreach ($nic in @(Get-VMNetworkAdapter -VM $vm)) {
        [pscustomobject]@{
            id = [string]$nic.Id
            name = [string]$nic.Name
            switch = [string]$nic.SwitchName
            mac = [string]$nic.MacAddress
            addresses = @($nic.IPAddresses | ForEach-Object { [string]$_ })
        }
    }
}
function Get-DrDisk {
    param($vm)
    foreach ($disk in @(Get-VMHardDiskDrive -VM $vm)) {
        $size = [long]0
        try {
            $size = [long](Get-VHD -Path $disk.Path -ErrorAction Stop).Size
        }
        catch {
            $size = [long]0
        }
        [pscustomobject]@{
            path = [string]$disk.Path
            size = $size
        }
    }
}
function Get-DrRelation {
    param($vm)
    if ([string]$vm.ReplicationMode -eq 'None') {
        return $null
    }
    $all = @(Get-VMReplication -VM $vm)
    $own = $all | Where-Object { [string]$_.ReplicationRelationshipType -ne 'Extended' } | Select-Object -First 1
    if ($null -eq $own) {
        return $null
    }
    $details = @()
    $errors = 0
    $pending = [long]0
    if ([string]$own.ReplicationHealth -ne 'Normal') {
        try {
            $measured = Measure-VMReplication -VM $vm -ErrorAction Stop | Select-Object -First 1
            $details = @($measured.ReplicationHealthDetails | ForEach-Object { [string]$_ })
            $errors = [int]$measured.ReplicationErrors
            $pending = [long]$measured.PendingReplicationSize
        }
        catch {
            $details = @()
        }
    }
    return [pscustomobject]@{
        mode = [string]$own.ReplicationMode
        state = [string]$own.ReplicationState
        health = [string]$own.ReplicationHealth
        primary = [string]$own.PrimaryServerName
        replica = [string]$own.ReplicaServerName
        current = [string]$own.CurrentReplicaServerName
        port = [int]$own.ReplicaServerPort
        authentication = [string]$own.AuthenticationType
        thumbprint = [string]$own.CertificateThumbprint
        allowed_primary = [string]$own.AllowedPrimaryServer
        frequency_s = [int]$own.ReplicationFrequencySec
        last_at = Get-DrInstant -at $own.LastReplicationTime
        applied_at = Get-DrInstant -at $own.LastAppliedLogTime
        disks = @($own.ReplicatedDisks | ForEach-Object { [string]$_.Path })
        excluded = @($own.ExcludedDisks | ForEach-Object { [string]$_.Path })
        has_extended = [bool]($all.Count -gt 1)
        details = $details
        errors = $errors
        pending = $pending
    }
}
function Get-DrSheet {
    param($vm)
    [pscustomobject]@{
        id = [string]$vm.Id
        name = [string]$vm.Name
        state = [string]$vm.State
        status = @($vm.OperationalStatus | ForEach-Object { [string]$_ })
        heartbeat = [string]$vm.Heartbeat
        uptime_s = [long]$vm.Uptime.TotalSeconds
        notes = [string]$vm.Notes
        autostart = [string]$vm.AutomaticStartAction
        is_clustered = [bool]$vm.IsClustered
        generation = [int]$vm.Generation
        cpus = [int]$vm.ProcessorCount
        memory = [long]$vm.MemoryStartup
        memory_assigned = [long]$vm.MemoryAssigned
        path = [string]$vm.Path
        parent = [string]$vm.ParentSnapshotId
        nics = @(Get-DrAdapter -vm $vm)
        disks = @(Get-DrDisk -vm $vm)
        points = @(Get-DrPoint -vm $vm)
        relation = Get-DrRelation -vm $vm
    }
}
"""
)

MACHINE = Script(
    name="read the VM",
    text="param($p)\n"
    + SHEET
    + """\
$vm = Get-VM -Id $p.id
Get-DrSheet -vm $vm
""",
)

# Of the firewall's rules only the ids are the same in every language.
# One VM whose files cannot be opened, or that goes while it is read, must not hide the others of its host
LISTED = """\
function Get-DrListed {
    param($vm, $why)
    [pscustomobject]@{
        id = [string]$vm.Id
        name = [string]$vm.Name
        state = [string]$vm.State
        status = @($vm.OperationalStatus | ForEach-Object { [string]$_ })
        notes = [string]$vm.Notes
        autostart = [string]$vm.AutomaticStartAction
        is_clustered = [bool]$vm.IsClustered
        memory = [long]$vm.MemoryStartup
        memory_assigned = [long]$vm.MemoryAssigned
        path = [string]$vm.Path
        relation = [pscustomobject]@{
            mode = [string]$vm.ReplicationMode
            state = [string]$vm.ReplicationState
            health = [string]$vm.ReplicationHealth
        }
        unread = $why
    }
}
"""

SITE = Script(
    name="read the host",
    text="param($p)\n"
    + SHEET
    + LISTED
    + """\
function Get-DrRule {
    param($name)
    try {
        $rule = Get-NetFirewallRule -Name $name -ErrorAction Stop
        return [string]$rule.Enabled
    }
    catch {
        return [string]$_.CategoryInfo.Category
    }
}
function Get-DrVolume {
    foreach ($volume in @(Get-CimInstance -ClassName 'Win32_LogicalDisk' -ErrorAction Stop)) {
        if ([int]$volume.DriveType -eq 3) {
            [pscustomobject]@{
                name = [string]$volume.DeviceID
                free = [long]$volume.FreeSpace
                size = [long]$volume.Size
            }
        }
    }
}
$node = Get-VMHost
$system = 'unknown'
$memory_free = [long]-1
try {
    $windows = Get-CimInstance -ClassName 'Win32_OperatingSystem' -ErrorAction Stop
    $system = [string]$windows.Version
    $memory_free = [long]$windows.FreePhysicalMemory * 1024
}
catch {
    $system = 'unknown'
}
$volumes = @()
try {
    $volumes = @(Get-DrVolume)
}
catch {
    $volumes = @()
}
$server = Get-VMReplicationServer
$entries = @()
foreach ($entry in @(Get-VMReplicationAuthorizationEntry)) {
    $entries += [string]$entry.AllowedPrimaryServer
}
$switches = @()
foreach ($one in @(Get-VMSwitch)) {
    $switches += [string]$one.Name
}
$vms = @()
foreach ($vm in @(Get-VM)) {
    try {
        $vms += Get-DrSheet -vm $vm
    }
    catch {
        if ([string]$_.CategoryInfo.Category -eq 'PermissionDenied') {
            throw $_
        }
        $vms += Get-DrListed -vm $vm -why ([string]$_.Exception.Message)
    }
}
[pscustomobject]@{
    computer = [string][Environment]::MachineName
    fqdn = [string]$node.FullyQualifiedDomainName
    system = $system
    cpus = [int]$node.LogicalProcessorCount
    memory = [long]$node.MemoryCapacity
    memory_free = $memory_free
    vm_path = [string]$node.VirtualMachinePath
    disk_path = [string]$node.VirtualHardDiskPath
    volumes = $volumes
    switches = $switches
    server = [pscustomobject]@{
        is_enabled = [bool]$server.ReplicationEnabled
        authentication = [string]$server.AllowedAuthenticationType
        kerberos_port = [int]$server.KerberosAuthenticationPort
        certificate_port = [int]$server.CertificateAuthenticationPort
        thumbprint = [string]$server.CertificateThumbprint
        allows_any = [bool]$server.ReplicationAllowedFromAnyServer
        entries = $entries
        http_rule = Get-DrRule -name 'VIRT-HVRHTTPL-In-TCP-NoScope'
        https_rule = Get-DrRule -name 'VIRT-HVRHTTPSL-In-TCP-NoScope'
    }
    vms = $vms
}
""",
)

# Where nothing matches Get-WinEvent fails. The VM is found by its GUID, in the event's data or at the end of its text: names
# repeat. An account may be allowed to act on VMs and not to read this log: then ``unread`` says so.
EVENTS_OF = """\
function Get-DrEvent {
    param($id, $ids, $since, $limit)
    $filter = @{
        LogName = 'Microsoft-Windows-Hyper-V-Worker-Admin'
        Id = $ids
    }
    if ($since -ne '') {
        $filter.Add('StartTime', [datetime]$since)
    }
    $found = @()
    $unread = ''
    try {
        $found = @(Get-WinEvent -FilterHashtable $filter -MaxEvents $limit -ErrorAction Stop)
    }
    catch {
        if ([string]$_.FullyQualifiedErrorId -notlike 'NoMatchingEventsFound*') {
            $unread = [string]$_.Exception.Message
        }
    }
    $events = @()
    foreach ($entry in $found) {
        $data = @($entry.Properties | ForEach-Object { [string]$_.Value })
        $text = [string]$entry.Message
        if ($data -contains $id -or $text.ToLower().Contains($id)) {
            $events += [pscustomobject]@{
                id = [int]$entry.Id
                at = Get-DrInstant -at $entry.TimeCreated
                data = $data
                text = $text
            }
        }
    }
    [pscustomobject]@{
        events = $events
        unread = $unread
    }
}
"""

EVENTS = Script(
    name="read the events of the VM",
    text="param($p)\n"
    + POINTS
    + EVENTS_OF
    + """\
$vm = Get-VM -Id $p.id
$log = Get-DrEvent -id $p.id -ids $p.ids -since $p.since -limit $p.limit
$changed = ''
try {
    $systems = @(Get-CimInstance -Namespace 'root\\virtualization\\v2' -ClassName 'Msvm_ComputerSystem' -ErrorAction Stop)
    foreach ($one in $systems) {
        if ([string]$one.Name -eq $p.id -and $null -ne $one.TimeOfLastConfigurationChange) {
            $changed = Get-DrInstant -at $one.TimeOfLastConfigurationChange
        }
    }
}
catch {
    $changed = ''
}
[pscustomobject]@{
    changed = $changed
    state = [string]$vm.State
    heartbeat = [string]$vm.Heartbeat
    uptime_s = [long]$vm.Uptime.TotalSeconds
    points = @(Get-DrPoint -vm $vm)
    events = $log.events
    unread = $log.unread
}
""",
)

# One look at a guest that is waited for: its VM and what its worker process told, in one process on the host.
GUEST = Script(
    name="look at the guest",
    text="param($p)\n"
    + INSTANT
    + EVENTS_OF
    + """\
$vm = Get-VM -Id $p.id
$log = Get-DrEvent -id $p.id -ids $p.ids -since $p.since -limit 1000
[pscustomobject]@{
    state = [string]$vm.State
    status = @($vm.OperationalStatus | ForEach-Object { [string]$_ })
    heartbeat = [string]$vm.Heartbeat
    uptime_s = [long]$vm.Uptime.TotalSeconds
    events = $log.events
    unread = $log.unread
}
""",
)

THUMBNAIL = Script(
    name="look at the screen",
    text="""\
param($p)
$space = 'root\\virtualization\\v2'
$service = Get-CimInstance -Namespace $space -ClassName 'Msvm_VirtualSystemManagementService'
$settings = Get-CimInstance -Namespace $space -ClassName 'Msvm_VirtualSystemSettingData' | Where-Object {
    $_.VirtualSystemType -eq 'Microsoft:Hyper-V:System:Realized' -and $_.VirtualSystemIdentifier -eq $p.id
} | Select-Object -First 1
$arguments = @{
    TargetSystem = $settings
    WidthPixels = [int]$p.width
    HeightPixels = [int]$p.height
}
$image = Invoke-CimMethod -InputObject $service -MethodName 'GetVirtualSystemThumbnailImage' -Arguments $arguments
$pixels = ''
if ([long]$image.ReturnValue -eq 0) {
    $pixels = [Convert]::ToBase64String($image.ImageData)
}
[pscustomobject]@{
    code = [long]$image.ReturnValue
    pixels = $pixels
}
""",
)

ALL = (SITE, MACHINE, EVENTS, GUEST, THUMBNAIL)
