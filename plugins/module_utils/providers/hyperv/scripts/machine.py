# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What any VM may be told: its Notes with its autostart in one write, and which switches its adapters are on.

Each script ends by reading the VM again. What ``throw`` says is the FullyQualifiedErrorId, the same in every language of the host.
"""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.reading import SHEET
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

# What `throw` says is its FullyQualifiedErrorId, the same in every language of the host.
THROWN = {
    "ferragosto.dr.changed_meanwhile": "its Notes were changed meanwhile, more than once",
    "ferragosto.dr.no_such_adapter": "a network adapter was removed meanwhile",
    "ferragosto.dr.no_such_switch": "its host has no switch of the wanted name, or two",
    "ferragosto.dr.no_such_point": "the recovery point is gone",
    "ferragosto.dr.not_off": "it is not off",
}

BEGIN = "param($p)\n" + SHEET + "$vm = Get-VM -Id $p.id\n"
END = "$vm = Get-VM -Id $p.id\nGet-DrSheet -vm $vm\n"

# Compare and set: our line must not go over what a person wrote since we read.
COMPARE = """\
if ([string]$vm.Notes -cne $p.old) {
    throw 'ferragosto.dr.changed_meanwhile'
}
"""

WRITE = Script(
    name="write the notes",
    text=BEGIN
    + COMPARE
    + """\
if ($p.autostart -eq '') {
    Set-VM -VM $vm -Notes $p.new
}
else {
    Set-VM -VM $vm -Notes $p.new -AutomaticStartAction $p.autostart
}
"""
    + END,
    shown=("Set-VM -VM $p.id -Notes $p.new -AutomaticStartAction $p.autostart",),
)

# Adapters and switches go by the object: a name may be there twice, or hold what -Name takes for a wildcard.
PLUG = Script(
    name="connect the adapters",
    text=BEGIN
    + """\
$switches = @(Get-VMSwitch)
foreach ($wanted in @($p.nics)) {
    $nics = @(Get-VMNetworkAdapter -VM $vm | Where-Object { [string]$_.Id -eq $wanted.id })
    if ($nics.Count -ne 1) {
        throw 'ferragosto.dr.no_such_adapter'
    }
    if ($wanted.switch -eq '') {
        Disconnect-VMNetworkAdapter -VMNetworkAdapter $nics[0]
    }
    else {
        $found = @($switches | Where-Object { [string]$_.Name -eq $wanted.switch })
        if ($found.Count -ne 1) {
            throw 'ferragosto.dr.no_such_switch'
        }
        Connect-VMNetworkAdapter -VMNetworkAdapter $nics[0] -VMSwitch $found[0]
    }
}
"""
    + END,
    shown=("Connect-VMNetworkAdapter or Disconnect-VMNetworkAdapter, for each adapter of $p.id that differs",),
)

ALL = (WRITE, PLUG)
