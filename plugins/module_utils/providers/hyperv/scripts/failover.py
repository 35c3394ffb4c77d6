# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failover on the replica's own host: whether it would take it, the failover itself, and taking it back."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.machine import BEGIN, END
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.power import PULL_PLUG
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

_POINT = """\
$points = @()
if ($p.point -ne '') {
    $points = @(Get-VMSnapshot -VM $vm | Where-Object { [string]$_.Id -eq $p.point })
    if ($points.Count -ne 1) {
        throw 'ferragosto.dr.no_such_point'
    }
}
"""

# With -WhatIf the host goes through its own guards and stops before the act. What it says is localised: its id and category count.
CHECK = Script(
    name="ask the host whether it would fail over",
    text=BEGIN
    + """\
$refusal = $null
if ($p.is_tried) {
    try {
        if ($p.point -eq '') {
            Start-VMFailover -VM $vm -Confirm:$false -WhatIf
        }
        else {
            $points = @(Get-VMSnapshot -VM $vm | Where-Object { [string]$_.Id -eq $p.point })
            if ($points.Count -ne 1) {
                throw 'ferragosto.dr.no_such_point'
            }
            Start-VMFailover -VMRecoverySnapshot $points[0] -Confirm:$false -WhatIf
        }
    }
    catch {
        $refusal = [pscustomobject]@{
            id = [string]$_.FullyQualifiedErrorId
            category = [string]$_.CategoryInfo.Category
            message = [string]$_.Exception.Message
        }
    }
}
[pscustomobject]@{
    sheet = Get-DrSheet -vm $vm
    switches = @(Get-VMSwitch | ForEach-Object { [string]$_.Name })
    refusal = $refusal
}
""",
)

# Should the failover bring the settings of the point along, our line in the Notes is put back at once: it says whose this is.
FAIL_OVER = Script(
    name="fail over to a recovery point",
    text=BEGIN
    + _POINT
    + """\
if ($points.Count -eq 1) {
    Start-VMFailover -VMRecoverySnapshot $points[0] -Confirm:$false
}
else {
    Start-VMFailover -VM $vm -Confirm:$false
}
$vm = Get-VM -Id $p.id
if ([string]$vm.Notes -cne $p.notes) {
    Set-VM -VM $vm -Notes $p.notes -AutomaticStartAction 'Nothing'
}
"""
    + END,
    shown=("Start-VMFailover -VM $p.id -VMRecoverySnapshot $p.point -Confirm:$false",),
)

# Stop-VMFailover turns the VM off by itself; a host that would rather see it off finds it so.
CANCEL = Script(
    name="cancel the failover",
    text=BEGIN
    + PULL_PLUG
    + """\
$vm = Get-VM -Id $p.id
Stop-VMFailover -VM $vm -Confirm:$false
"""
    + END,
    shown=("Stop-VM -VM $p.id -TurnOff -Force", "Stop-VMFailover -VM $p.id"),
)

ALL = (CHECK, FAIL_OVER, CANCEL)
