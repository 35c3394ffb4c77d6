# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read one endpoint in one property collector call, and one VM again with what the bulk read leaves out."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    ProviderFault,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, EndpointReading, Host, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import no_reading
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.faults import VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

NO_RESTART = "disabled"  # restartPriority of a VM that HA leaves alone
FOLLOWS_CLUSTER = "clusterRestartPriority"  # an override that overrides nothing
STARTS = "poweron"  # startAction of a VM that its host starts
CLUSTER_PATH = "configurationEx"
LAST_HOST = "last host"  # remembered beside the vendor's properties, under the VM's handle
AUTOSTART_PATH = "config"


def read_endpoint(client: Client, *, node: str, clock: Clock) -> EndpointReading:
    """Read all hosts and VMs. An endpoint that does not answer becomes a reading with ``error``.

    Raises BadInput for what a person must correct first: a wrong password or certificate is no sign of a dead host, and a
    reading that said "unreachable" would invite a failover.
    """
    started_s, calls = clock.now_s(), client.calls
    try:
        hosts, vms = _survey(client)
        api = client.about
    except (SiteUnreachable, ProviderFault) as cause:
        made = client.calls - calls
        return no_reading(client.address, node=node, clock=clock, started_s=started_s, calls=made, error=cause)
    read_at_s = clock.now_s()
    return EndpointReading(
        address=client.address,
        node=node,
        read_at_s=read_at_s,
        clock_at_s=read_at_s + client.clock_offset_s,
        took_s=read_at_s - started_s,
        calls=client.calls - calls,
        hosts=hosts,
        vms=vms,
        api=api,
    )


def refresh(client: Client, vm: Vm) -> Vm:
    """Read one VM again, with autostart and HA as far as its host has them: two round trips in the usual case."""
    handle = vm.handle
    guess = client.known.get(handle, {}).get(LAST_HOST) or _host_of(client, vm.host)
    shown = _refresh_call(client, handle, guess)
    seen_host = wire.handle_of(shown[handle].get("runtime.host"))
    if seen_host not in client.known or _names_unknown(client, shown[handle]):
        _learn(client, shown[handle])
    if seen_host != guess:  # it moved, or no bulk read has told where it is
        shown = _refresh_call(client, handle, seen_host)
    client.known[handle] = {LAST_HOST: seen_host}
    host = client.known.setdefault(seen_host, {})
    host.update(shown.get(seen_host, {}))
    fresh = wire.to_vm(handle, shown[handle], client.known)
    autostart = wire.handle_of(host.get("configManager.autoStartManager"))
    cluster = wire.handle_of(host.get("parent"))
    return replace(
        fresh,
        has_autostart=_has_autostart(handle, shown[autostart]) if autostart in shown else None,
        has_ha=_has_ha(handle, shown[cluster]) if cluster in shown else None,
    )


# --- the whole endpoint ----------------------------------------------------------------------------------------------


def _survey(client: Client) -> tuple[tuple[Host, ...], tuple[Vm, ...]]:
    paths: dict[type, tuple[str, ...]] = {
        vim.VirtualMachine: wire.VM_PATHS,
        vim.HostSystem: wire.HOST_PATHS,
        vim.Datastore: wire.DATASTORE_PATHS,
        vim.Network: wire.NETWORK_PATHS,
    }
    machines: list[tuple[str, Mapping[str, t.Any]]] = []
    hosts: list[str] = []
    known: dict[str, dict[str, t.Any]] = {}
    for found, shown in client.survey(list(paths), paths):
        if isinstance(found, vim.VirtualMachine):
            machines.append((found._moId, shown))
            continue
        known[found._moId] = shown
        if isinstance(found, vim.HostSystem):
            hosts.append(found._moId)
    for handle in hosts:
        _name_after_node(client, known[handle])
    client.known = known
    return (
        tuple(wire.to_host(known[handle], known) for handle in hosts),
        tuple(wire.to_vm(handle, shown, known) for handle, shown in machines if not shown.get("config.template")),
    )


# --- one VM ----------------------------------------------------------------------------------------------------------


def _refresh_call(client: Client, handle: str, host: str) -> dict[str, dict[str, t.Any]]:
    """Read VM, host and cluster in one call, and autostart in a second: some servers name a manager that is not there."""
    remembered = client.known.get(host, {})
    wanted: list[tuple[t.Any, tuple[str, ...]]] = [(client.object(vim.VirtualMachine, handle), wire.VM_PATHS)]
    if host:
        wanted.append((client.object(vim.HostSystem, host), ("runtime.connectionState",)))
    if isinstance(remembered.get("parent"), vim.ClusterComputeResource):
        wanted.append((remembered["parent"], (CLUSTER_PATH,)))
    shown = _found(client, handle, wanted)
    autostart = remembered.get("configManager.autoStartManager")
    is_connected = wire.host_connection(shown.get(host, {})) is Connection.CONNECTED
    if autostart is not None and is_connected:  # a lost host's autostart cannot be read: it stays unknown
        try:
            shown.update(client.retrieve([autostart], (AUTOSTART_PATH,)))
        except VendorFault as fault:
            if fault.kind != "ManagedObjectNotFound":  # anything else leaves open whether the host would start the VM
                raise
            del remembered["configManager.autoStartManager"]
    return shown


def _found(client: Client, handle: str, wanted: list[tuple[t.Any, tuple[str, ...]]]) -> dict[str, dict[str, t.Any]]:
    shown = client.retrieve_each(wanted)
    if "runtime.powerState" not in shown.get(handle, {}):
        raise ProviderFault(
            what=f"read VM {handle}",
            why=f"{client.address} shows nothing of it any more",
            next=f"check that it is still registered, and that {client.spec.api_user} may read it",
        )
    return shown


def _names_unknown(client: Client, shown: Mapping[str, t.Any]) -> bool:
    return any(store._moId not in client.known for store in shown.get("datastore") or ())


def _learn(client: Client, shown: Mapping[str, t.Any]) -> None:
    """Read the names around one VM that no bulk read of this session has brought."""
    host = shown.get("runtime.host")
    if host is None:
        return
    around = client.retrieve([host], wire.HOST_PATHS).get(host._moId, {})
    _name_after_node(client, around)
    client.known[host._moId] = around
    stores, networks = around.get("datastore") or (), around.get("network") or ()
    client.known.update(
        client.retrieve_each(
            [(store, wire.DATASTORE_PATHS) for store in stores]
            + [(network, wire.NETWORK_PATHS) for network in networks]
        )
    )


def _name_after_node(client: Client, host: dict[str, t.Any]) -> None:
    """A standalone ESXi often calls itself localhost: it is the one host that the inventory names for its endpoint."""
    if client.spec.node and not client.is_vcenter:
        host["name"] = client.spec.node


def _host_of(client: Client, name: str) -> str:
    hosts = (handle for handle, shown in client.known.items() if "runtime.connectionState" in shown)
    return next((handle for handle in hosts if client.known[handle].get("name") == name), "")


def _has_autostart(handle: str, shown: Mapping[str, t.Any]) -> bool:
    """Tell whether its host starts this VM, also where autostart as a whole is switched off just now."""
    config = shown.get(AUTOSTART_PATH)
    entries = config.powerInfo if config is not None else ()
    return any(entry.key._moId == handle and str(entry.startAction).lower() == STARTS for entry in entries)


def _has_ha(handle: str, shown: Mapping[str, t.Any]) -> bool:
    """Tell whether HA would restart this VM after a failure of its host."""
    config = shown.get(CLUSTER_PATH)
    das = getattr(config, "dasConfig", None)
    if das is None or not das.enabled:
        return False
    default = das.defaultVmSettings.restartPriority if das.defaultVmSettings is not None else None
    for own in config.dasVmConfig if config is not None else ():
        if own.key._moId == handle:
            settings = own.dasSettings
            words = {own.restartPriority, settings.restartPriority if settings is not None else None}
            if words - {None, FOLLOWS_CLUSTER}:
                return NO_RESTART not in words
    return bool(default != NO_RESTART)
