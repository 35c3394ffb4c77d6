# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How wide the trouble is, told from the VM's neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Blast
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Heartbeat,
    Power,
    Vm,
)


def is_fine(vm: Vm) -> bool:
    """Tell whether a neighbour shows that host and storage carry it: on, seen, asking nothing, its heart beating if it has one."""
    return vm.power is Power.ON and not is_in_trouble(vm)


def is_in_trouble(vm: Vm) -> bool:
    return (
        vm.connection is not Connection.CONNECTED
        or vm.power is Power.UNKNOWN
        or vm.question is not None
        or vm.guest.heartbeat is Heartbeat.RED
    )


def of_lost_contact(endpoint: EndpointReading, others: Sequence[EndpointReading], node: str) -> tuple[Blast, str]:
    """Judge a VM whose hypervisor does not answer; ``others`` are the site's other endpoints."""
    if endpoint.is_reachable:
        return Blast.HOST, f"{node or 'its host'} does not answer {endpoint.address}"
    answering = [o.node or o.address for o in others if o.is_reachable]
    if answering:
        return Blast.HOST, f"only {endpoint.node or endpoint.address} does not answer; {', '.join(answering)} does"
    return Blast.SITE, f"no hypervisor of the site answers (asked {endpoint.address}): network, vCenter or site"


def of_trouble(vm: Vm, neighbours: Sequence[Vm]) -> tuple[Blast, str]:
    """Judge a VM in trouble by the VMs that share its host or one of its datastores.

    A VM that is off says nothing by itself (replicas are off), except beside one that went off too.
    """
    others = [n for n in neighbours if n.id != vm.id]
    on_host = [n for n in others if n.host == vm.host]
    on_storage = [n for n in others if set(n.datastores) & set(vm.datastores)]
    off_counts = vm.power is not Power.ON
    bad_on_host = _bad(on_host, off_counts)
    bad_on_storage = _bad(on_storage, off_counts)
    stores = ", ".join(vm.datastores)
    has_fine_elsewhere = any(is_fine(n) for n in on_host if n not in on_storage)
    is_beyond_host = any(n.host != vm.host for n in bad_on_storage)
    if bad_on_storage and not _fine(on_storage) and (has_fine_elsewhere or is_beyond_host):
        where = f"the VMs of other datastores on {vm.host} are fine" if has_fine_elsewhere else "on more than one host"
        return Blast.STORAGE, f"{_count(bad_on_storage)} of datastore {stores} are in trouble too, {where}"
    fine = _fine(on_host)
    if fine and not bad_on_host:
        return Blast.VM, f"{_others(fine)} on {vm.host} {'is' if len(fine) == 1 else 'are'} fine"
    if fine:
        return Blast.VM, f"{len(fine)} of the {len(fine) + len(bad_on_host)} other VMs on {vm.host} are fine"
    if bad_on_host:
        too = "off too" if off_counts and not any(is_in_trouble(n) for n in bad_on_host) else "in trouble too"
        return Blast.HOST, f"{_others(bad_on_host)} on {vm.host} {'is' if len(bad_on_host) == 1 else 'are'} {too}"
    return Blast.VM, f"no other running VM on {vm.host} to compare with; the host itself answers"


def _fine(vms: Sequence[Vm]) -> list[Vm]:
    return [v for v in vms if is_fine(v)]


def _bad(vms: Sequence[Vm], off_counts: bool) -> list[Vm]:
    return [v for v in vms if is_in_trouble(v) or (off_counts and v.power is Power.OFF and not v.vendor_points())]


def _others(vms: Sequence[Vm]) -> str:
    return f"the other VM ({vms[0].name})" if len(vms) == 1 else f"the {len(vms)} other VMs"


def _count(vms: Sequence[Vm]) -> str:
    return f"all {len(vms)} other VMs" if len(vms) > 1 else f"the other VM ({vms[0].name})"
