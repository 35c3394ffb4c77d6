# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What starts a VM without anybody asking: its host's autostart, and vSphere HA. Both are switched off by a fence.

Read in the vendor's own words, so that an unfence puts back not only *that* they were on but also *how*.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

HA_WITHIN_S = 120.0  # vCenter pushes the new HA configuration to every host of the cluster before the task ends
POWER_ON = "powerOn"
NO_START = "none"
DISABLED = "disabled"
# vim.host.AutoStartManager: -1 means "the host's default" for delays and "no order" for the order.
_AUTOSTART_DEFAULTS = {
    "startOrder": "-1",
    "startDelay": "-1",
    "waitForHeartbeat": "systemDefault",
    "stopDelay": "-1",
    "stopAction": "systemDefault",
}
_NUMBERS = frozenset({"startOrder", "startDelay", "stopDelay"})
# The VM follows its cluster. An override that says so is left behind rather than removed: pyvmomi names the type of a
# removeKey in a way that not every server understands (vcsim ends at once), and the effect is the same.
FOLLOW_CLUSTER = "clusterRestartPriority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a VM stands: the objects that may start it."""

    autostart: vim.host.AutoStartManager | None
    compute: vim.ComputeResource | None


def surroundings(client: Client, vm: vim.VirtualMachine) -> Surroundings:
    handle = vm._GetMoId()
    host = client.retrieve([vm], ["runtime.host"]).get(handle, {}).get("runtime.host")
    if host is None:
        return Surroundings(autostart=None, compute=None)
    shown = client.retrieve([host], ["configManager.autoStartManager", "parent"]).get(host._GetMoId(), {})
    return Surroundings(autostart=shown.get("configManager.autoStartManager"), compute=shown.get("parent"))


# --- autostart -------------------------------------------------------------------------------------------------------


def autostart_of(client: Client, vm: vim.VirtualMachine) -> dict[str, str] | None:
    """Return how the host starts this VM at boot, or None when it does not."""
    manager = surroundings(client, vm).autostart
    entry = _autostart_entry(client, manager, vm) if manager is not None else None
    if entry is None or str(entry.startAction).lower() != POWER_ON.lower():
        return None
    return {word: str(getattr(entry, word)) for word in _AUTOSTART_DEFAULTS}


def set_autostart(copy: Copy, words: Mapping[str, str] | None, what: str) -> None:
    """Let the host start this VM at boot as ``words`` say, or not at all."""
    manager = surroundings(copy.client, copy.object).autostart
    if manager is None:
        raise ProviderFault(
            what=f"{what} of {copy.target}",
            why="its host shows no autostart manager",
            next="set autostart of this VM by hand in the host's Manage > System > Autostart page",
        )
    filled = {**_AUTOSTART_DEFAULTS, **(words or {})}
    typed: dict[str, t.Any] = {key: int(value) if key in _NUMBERS else value for key, value in filled.items()}
    info = vim.host.AutoStartManager.AutoPowerInfo(
        key=copy.object, startAction=POWER_ON if words is not None else NO_START, **typed
    )
    spec = vim.host.AutoStartManager.Config(powerInfo=[info])
    copy.client.call(what, manager.ReconfigureAutostart, spec)


def autostart_off(copy: Copy) -> Step:
    name = "switch autostart off"
    return copy.step(
        name,
        calls=[f"ReconfigureAutostart({copy.handle}: startAction={NO_START})"],
        is_done=lambda vm: vm.has_autostart is not True,
        act=lambda: set_autostart(copy, None, name),
        next=f"remove {copy.vm.name} from the autostart list of {copy.vm.host} in the host client, "
        "then run the same command again",
    )


def autostart_back(copy: Copy, *, was_on: bool, words: Mapping[str, str] | None) -> Step:
    name = "put autostart back"
    return copy.step(
        name,
        calls=[f"ReconfigureAutostart({copy.handle}: startAction={POWER_ON})"],
        is_done=lambda vm: not was_on or vm.has_autostart is True,
        act=lambda: set_autostart(copy, words or {}, name),
        next=f"add {copy.vm.name} to the autostart list of {copy.vm.host} in the host client, "
        "then run the same command again",
    )


# --- vSphere HA ------------------------------------------------------------------------------------------------------


def ha_of(client: Client, vm: vim.VirtualMachine) -> dict[str, str] | None:
    """Return how HA restarts this VM, or None when it stands in no HA cluster."""
    cluster = surroundings(client, vm).compute
    if not isinstance(cluster, vim.ClusterComputeResource):
        return None
    override = _override(client, cluster, vm)
    if override is None:
        return {"restartPriority": FOLLOW_CLUSTER}
    settings = override.dasSettings
    priority = (settings.restartPriority if settings is not None else None) or override.restartPriority
    return {"restartPriority": str(priority) if priority else FOLLOW_CLUSTER}


def set_ha(copy: Copy, priority: str, what: str) -> None:
    """Give this VM a restart priority of its own, or (FOLLOW_CLUSTER) the cluster's again."""
    cluster = surroundings(copy.client, copy.object).compute
    if not isinstance(cluster, vim.ClusterComputeResource):
        raise ProviderFault(
            what=f"{what} of {copy.target}",
            why="its host stands in no cluster any more",
            next="read the site again with the assess playbook",
        )
    override = _override(copy.client, cluster, copy.object)
    info = vim.cluster.DasVmConfigInfo(key=copy.object, dasSettings=vim.cluster.DasVmSettings(restartPriority=priority))
    Operation = vim.option.ArrayUpdateSpec.Operation
    operation = Operation.add if override is None else Operation.edit
    change = vim.cluster.DasVmConfigSpec(operation=operation, info=info)
    spec = vim.cluster.ConfigSpecEx(dasVmConfigSpec=[change])
    copy.run(what, lambda: cluster.ReconfigureComputeResource_Task(spec, True), within_s=HA_WITHIN_S)


def ha_off(copy: Copy) -> Step:
    name = "switch HA restart off"
    return copy.step(
        name,
        calls=[f"ReconfigureComputeResource_Task(dasVmConfig {copy.handle}: restartPriority={DISABLED})"],
        is_done=lambda vm: vm.has_ha is not True,
        act=lambda: set_ha(copy, DISABLED, name),
        next=f"set the VM override of {copy.vm.name} to restart priority 'Disabled' in the cluster's settings, "
        "then run the same command again",
        within_s=HA_WITHIN_S,
    )


def ha_back(copy: Copy, *, was_on: bool, words: Mapping[str, str] | None) -> Step:
    name = "put HA restart back"
    priority = (words or {}).get("restartPriority", FOLLOW_CLUSTER)
    said = f"restartPriority={priority}"
    return copy.step(
        name,
        calls=[f"ReconfigureComputeResource_Task(dasVmConfig {copy.handle}: {said})"],
        is_done=lambda vm: not was_on or vm.has_ha is True,
        act=lambda: set_ha(copy, priority, name),
        next=f"set the VM override of {copy.vm.name} back ({said}) in the cluster's settings, "
        "then run the same command again",
        within_s=HA_WITHIN_S,
    )


def _autostart_entry(
    client: Client, manager: vim.host.AutoStartManager, vm: vim.VirtualMachine
) -> vim.host.AutoStartManager.AutoPowerInfo | None:
    config = client.retrieve([manager], ["config"]).get(manager._GetMoId(), {}).get("config")
    entries = config.powerInfo if config is not None else ()
    return next((e for e in entries if e.key is not None and e.key._GetMoId() == vm._GetMoId()), None)


def _override(
    client: Client, cluster: vim.ClusterComputeResource, vm: vim.VirtualMachine
) -> vim.cluster.DasVmConfigInfo | None:
    shown = client.retrieve([cluster], ["configurationEx"]).get(cluster._GetMoId(), {})
    config = shown.get("configurationEx")
    overrides = (config.dasVmConfig if config is not None else None) or ()
    return next((o for o in overrides if o.key is not None and o.key._GetMoId() == vm._GetMoId()), None)


def kept_guards(copy: Copy, vm: Vm) -> tuple[Mapping[str, str] | None, Mapping[str, str] | None]:
    """Return autostart and HA of a copy in the vendor's words, each None where it is off or unknown."""
    autostart = autostart_of(copy.client, copy.object) if vm.has_autostart else None
    ha = ha_of(copy.client, copy.object) if vm.has_ha else None
    return autostart, ha
