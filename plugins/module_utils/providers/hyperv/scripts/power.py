# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power: on, the guest asked, the plug pulled, restarted. Each reads the VM again at its end."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.machine import BEGIN, COMPARE, END
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

POWER_ON = Script(
    name="power on",
    text=BEGIN
    + """\
if ([string]$vm.State -eq 'Paused') {
    Resume-VM -VM $vm
}
elseif ([string]$vm.State -ne 'Running') {
    Start-VM -VM $vm
}
"""
    + END,
    shown=("Start-VM -VM $p.id (paused: Resume-VM)",),
)

# Without -TurnOff it asks the guest, and with -Force it asks nobody else; it returns when the VM is off.
SHUT_DOWN = Script(
    name="shut the guest down",
    text=BEGIN + "Stop-VM -VM $vm -Force -Confirm:$false\n" + END,
    shown=("Stop-VM -VM $p.id -Force, ended after $p.within_s s",),
)

# A saved VM is not running, and not off either: it would go on where it was.
PULL_PLUG = """\
if ([string]$vm.State -in @('Saved', 'FastSaved')) {
    Remove-VMSavedState -VM $vm -Confirm:$false
}
elseif ([string]$vm.State -notin @('Off', 'OffCritical')) {
    Stop-VM -VM $vm -TurnOff -Force -Confirm:$false
}
"""

TURN_OFF = Script(
    name="power off",
    text=BEGIN + PULL_PLUG + END,
    shown=("Stop-VM -VM $p.id -TurnOff -Force (saved: Remove-VMSavedState)",),
)

# The note of the attempt first: it tells a later controller that this restart has happened.
RESTART = Script(
    name="restart",
    text=BEGIN
    + COMPARE
    + """\
Set-VM -VM $vm -Notes $p.new
if ([string]$vm.State -eq 'Running') {
    Restart-VM -VM $vm -Force -Confirm:$false
}
else {
    if ([string]$vm.State -notin @('Off', 'Saved')) {
        Stop-VM -VM $vm -TurnOff -Force -Confirm:$false
    }
    Start-VM -VM $vm
}
"""
    + END,
    shown=("Set-VM -VM $p.id -Notes (the attempt)", "Restart-VM -VM $p.id -Force (off: Start-VM)"),
)

ALL = (POWER_ON, SHUT_DOWN, TURN_OFF, RESTART)
