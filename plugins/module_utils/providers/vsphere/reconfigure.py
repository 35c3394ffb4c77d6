# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two things that ReconfigVM_Task changes for us: NICs and our stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Nic, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.keepsake import Plug
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

Marks = Mapping[str, str]  # key in extraConfig -> value; "" means: not there
Look = Callable[[Vm], bool]


def never(vm: Vm) -> bool:
    return False


# --- stamps ----------------------------------------------------------------------------------------------------------


def has_marks(vm: Vm, marks: Marks) -> bool:
    return all(vm.stamps.get(key, "") == value for key, value in marks.items())


def stamp(copy: Copy, name: str, marks: Marks, *, next: str, unless: Look = never) -> Step:
    """Return the step that sets the given stamps, and takes off those with an empty value."""
    written = ", ".join(f"{key}={str(value)!r}" for key, value in marks.items())
    return copy.step(
        name,
        calls=[f"ReconfigVM_Task({copy.handle}, extraConfig {written})"],
        is_done=lambda vm: unless(vm) or has_marks(vm, marks),
        act=lambda: write_marks(copy, name, marks),
        task="reconfig",
        next=next,
    )


def write_marks(copy: Copy, what: str, marks: Marks) -> None:
    vm = copy.now()
    # An empty value takes a key off; a key that is not there would be *added* empty by vcsim.
    changed = {key: value for key, value in marks.items() if vm.stamps.get(key, "") != value}
    if changed:
        options = [vim.option.OptionValue(key=key, value=str(value)) for key, value in changed.items()]
        copy.reconfigure(what, vim.vm.ConfigSpec(extraConfig=options))


def keep_once(copy: Copy, kept: Callable[[Vm], keepsake.Keepsake]) -> Marks:
    """Return the mark that keeps what the copy was, or the one already on it: what was kept first is the truth."""
    vm = copy.now()
    return {keepsake.KEY: vm.stamps.get(keepsake.KEY) or keepsake.encode(kept(vm))}


# --- NICs ------------------------------------------------------------------------------------------------------------


def is_plugged(vm: Vm, wanted: Mapping[str, Plug]) -> bool:
    """Tell whether the NICs are plugged as wanted.

    ESXi shows every NIC of a powered-off VM as not connected, whatever was set: there only ``starts_connected`` counts.
    NICs of the map that the VM has no more are passed over.
    """
    return all(_is_plug(vm, nic, wanted[nic.key]) for nic in vm.nics if nic.key in wanted)


def _is_plug(vm: Vm, nic: Nic, plug: Plug) -> bool:
    if nic.starts_connected != plug.starts_connected:
        return False
    if nic.is_connected == plug.is_connected:
        return True
    return plug.is_connected and vm.power is not Power.ON


def is_unplugged(vm: Vm) -> bool:
    return not any(n.is_connected or n.starts_connected for n in vm.nics)


def plug_nics(
    copy: Copy,
    name: str,
    wanted: Callable[[Vm], Mapping[str, Plug]],
    *,
    next: str,
    unless: Look = never,
    is_live: bool = False,
) -> Step:
    """Return the step that plugs the NICs as ``wanted`` says of the copy as it is then.

    With ``is_live`` it counts only on a copy that is on: one that is off is connected to nothing.
    """

    def is_done(vm: Vm) -> bool:
        return unless(vm) or (is_plugged(vm, wanted(vm)) and not (is_live and vm.power is not Power.ON))

    return copy.step(
        name,
        calls=plug_calls(copy.handle, copy.vm.nics, wanted(copy.vm)),
        is_done=is_done,
        act=lambda: _plug(copy, name, wanted),
        task="reconfig",
        next=next,
    )


def plug_calls(handle: str, nics: Iterable[Nic], wanted: Mapping[str, Plug]) -> list[str]:
    edits = [
        f"nic {nic.key}: connected={wanted[nic.key].is_connected}, startConnected={wanted[nic.key].starts_connected}"
        for nic in nics
        if nic.key in wanted
    ]
    return [f"ReconfigVM_Task({handle}, {'; '.join(edits)})"] if edits else []


def _plug(copy: Copy, what: str, wanted: Callable[[Vm], Mapping[str, Plug]]) -> None:
    plugs = wanted(copy.now())
    shown = copy.client.call(what, copy.client.retrieve, [copy.object], ["config.hardware.device"])
    devices = shown.get(copy.handle, {}).get("config.hardware.device") or ()
    changes = []
    for device in devices:
        plug = plugs.get(str(device.key))
        if plug is None or not isinstance(device, vim.vm.device.VirtualEthernetCard):
            continue
        if device.connectable is None:
            raise ProviderFault(
                what=f"{what} of {copy.target}",
                why=f"its NIC {device.key} cannot be disconnected (it has no connectable part)",
                next="disconnect this NIC in the vSphere client, then run the same command again",
            )
        device.connectable.connected = plug.is_connected
        device.connectable.startConnected = plug.starts_connected
        changes.append(
            vim.vm.device.VirtualDeviceSpec(operation=vim.vm.device.VirtualDeviceSpec.Operation.edit, device=device)
        )
    copy.reconfigure(what, vim.vm.ConfigSpec(deviceChange=changes))
