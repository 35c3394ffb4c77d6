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
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EndpointReading, Host, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

NO_RESTART = "disabled"  # restartPriority of a VM that HA leaves alone
STARTS = "poweron"  # startAction of a VM that its host starts
CLUSTER_PATH = "configurationEx"
AUTOSTART_PATH = "config"


def read_endpoint(client: Client, *, node: str, clock: Clock) -> EndpointReading:
    """Read all hosts and VMs. An endpoint that does not answer becomes a reading with ``error``.

    Raises BadInput for what a person must correct first: a wrong password or certificate is no sign of a dead host, and a
    reading that said "unreachable" would invite a failover.
    """
    started_s, calls = clock.now_s(), client.calls
    try:
        hosts, vms = _survey(client, node)
        api = client.about
    except (SiteUnreachable, ProviderFault) as cause:
        return EndpointReading(
            address=client.address,
            node=node,
            read_at_s=clock.now_s(),
            took_s=clock.now_s() - started_s,
            calls=client.calls - calls,
            error=str(cause),
        )
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
    """Read one VM again, with autostart and HA as far as its host has them: one round trip in the usual case."""
    handle = vm.handle
    shown = _refresh_call(client, handle, _host_of(client, vm.host))
    seen_host = wire.handle_of(shown[handle].get("runtime.host"))
    if seen_host and seen_host != _host_of(client, vm.host):  # it moved, or nobody has read this host yet
        _learn(client, shown[handle])
        shown = _refresh_call(client, handle, seen_host)
    elif _unknown(client, shown[handle]):
        _learn(client, shown[handle])
    client.known.update({key: {**client.known.get(key, {}), **shown[key]} for key in shown if key == seen_host})
    host = client.known.get(seen_host, {})
    fresh = wire.to_vm(handle, shown[handle], client.known)
    autostart = wire.handle_of(host.get("configManager.autoStartManager"))
    cluster = wire.handle_of(host.get("parent"))
    return replace(
        fresh,
        has_autostart=_has_autostart(handle, shown[autostart]) if autostart in shown else None,
        has_ha=_has_ha(handle, shown[cluster]) if cluster in shown else None,
    )


# --- the whole endpoint ----------------------------------------------------------------------------------------------


def _survey(client: Client, node: str) -> tuple[tuple[Host, ...], tuple[Vm, ...]]:
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
    if node and len(hosts) == 1 and not client.is_vcenter:
        # A standalone ESXi often calls itself localhost; it is the one host that the inventory names for this endpoint
        known[hosts[0]]["name"] = node
    client.known = known
    return (
        tuple(wire.to_host(known[handle], known) for handle in hosts),
        tuple(wire.to_vm(handle, shown, known) for handle, shown in machines if not shown.get("config.template")),
    )


# --- one VM ----------------------------------------------------------------------------------------------------------


def _refresh_call(client: Client, handle: str, host: str) -> dict[str, dict[str, t.Any]]:
    """Read VM, host, autostart and cluster in one call; what the endpoint does not have is left out next time."""
    wanted: list[tuple[t.Any, tuple[str, ...]]] = [(client.object(vim.VirtualMachine, handle), wire.VM_PATHS)]
    remembered = client.known.get(host, {})
    autostart = remembered.get("configManager.autoStartManager")
    if host:
        wanted.append((client.object(vim.HostSystem, host), ("runtime.connectionState",)))
    if isinstance(remembered.get("parent"), vim.ClusterComputeResource):
        wanted.append((remembered["parent"], (CLUSTER_PATH,)))
    if autostart is None:
        return _found(client, handle, wanted)
    try:
        return _found(client, handle, [*wanted, (autostart, (AUTOSTART_PATH,))])
    except ProviderFault:
        shown = _found(client, handle, wanted)  # raises again when autostart was not the culprit
        del remembered["configManager.autoStartManager"]  # some hosts name one that is not there
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


def _unknown(client: Client, shown: Mapping[str, t.Any]) -> bool:
    return any(store._moId not in client.known for store in shown.get("datastore") or ())


def _learn(client: Client, shown: Mapping[str, t.Any]) -> None:
    """Read the names around one VM that no bulk read of this session has brought."""
    host = shown.get("runtime.host")
    if host is None:
        return
    client.known.update(client.retrieve([host], wire.HOST_PATHS))
    around = client.known[host._moId]
    stores, networks = around.get("datastore") or (), around.get("network") or ()
    client.known.update(
        client.retrieve_each(
            [(store, wire.DATASTORE_PATHS) for store in stores]
            + [(network, wire.NETWORK_PATHS) for network in networks]
        )
    )


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
            return NO_RESTART not in (own.restartPriority, settings.restartPriority if settings is not None else None)
    return bool(default != NO_RESTART)
