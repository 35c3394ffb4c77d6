# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on the cluster as a whole: status, resources, ids, pools, bulk actions."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import figures
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.calls_storage import sizes
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lifecycle import join_pool
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.nodes import Node
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

VERSION, RELEASE, REPO_ID = "9.2.11", "9.2", "7c3f1e0a5b2d4968"
_EITHER = ("Datastore.Audit", "Datastore.AllocateSpace")


@ROUTES.add("GET", "/version")
@ROUTES.add("GET", "/nodes/{node}/version")
def version(datacenter: Datacenter, call: Call) -> dict[str, str]:
    return {"version": VERSION, "release": RELEASE, "repoid": REPO_ID}


@ROUTES.add("GET", "/cluster/status")
def status(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """Readable without quorum. A standalone node has no row of the type cluster."""
    call.require("/", "Sys.Audit")
    rows: list[dict[str, t.Any]] = []
    if datacenter.is_cluster:
        rows.append(
            {
                "id": "cluster",
                "type": "cluster",
                "name": datacenter.name,
                "version": 2,
                "nodes": len(datacenter.nodes),
                "quorate": int(datacenter.is_quorate(call.door_node)),
            }
        )
    for node in datacenter.nodes.values():
        rows.append(
            {
                "id": f"node/{node.name}",
                "type": "node",
                "name": node.name,
                "nodeid": node.number if datacenter.is_cluster else 0,
                "ip": node.address,
                "online": int(node.is_online),
                "local": int(node.name == call.door_node),
                "level": "",
            }
        )
    return rows


@ROUTES.add("GET", "/cluster/resources")
def resources(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """Everything that the caller may see. Zero rows may mean zero rights."""
    wanted = call.params.get("type")
    rows: list[dict[str, t.Any]] = []
    if wanted in (None, "vm"):
        rows += [_guest(datacenter, g) for g in _in_order(datacenter) if call.may(f"/vms/{g.vmid}", "VM.Audit")]
    if wanted in (None, "node"):
        rows += [
            _node(node, datacenter, may_audit=call.may(f"/nodes/{node.name}", "Sys.Audit"))
            for node in datacenter.nodes.values()
        ]
    if wanted in (None, "storage"):
        rows += _storages(datacenter, call)
    if wanted is None:
        for name, pool in datacenter.pools.items():
            if call.may(f"/pool/{name}", "Pool.Audit"):
                rows.append({"id": f"/pool/{name}", "type": "pool", "pool": name, "comment": pool.get("comment", "")})
    if wanted in (None, "sdn"):
        for node in datacenter.nodes.values():
            if call.may("/sdn/zones/localnetwork", "SDN.Audit"):
                row = {"id": f"sdn/{node.name}/localnetwork", "type": "sdn", "sdn": "localnetwork", "node": node.name}
                rows.append({**row, "status": "ok" if node.is_online else "unknown"})
    return rows


def _in_order(datacenter: Datacenter) -> list[Guest]:
    return sorted(datacenter.guests.values(), key=lambda g: g.vmid)


def _guest(datacenter: Datacenter, guest: Guest) -> dict[str, t.Any]:
    """A guest of a lost node is "unknown" and has no name; what pmxcfs itself holds (tags, lock) is still there."""
    row: dict[str, t.Any] = {"id": f"qemu/{guest.vmid}", "type": "qemu", "node": guest.node, "vmid": guest.vmid}
    if datacenter.node(guest.node).is_reporting:
        row.update(figures.figures(datacenter, guest), template=int(guest.config.get("template", "0")))
        row["maxcpu"] = figures.cpus(guest)
    else:
        row["status"] = "unknown"
        row.update({key: guest.config[key] for key in ("tags", "lock") if key in guest.config})
    service = datacenter.ha.services.get(f"vm:{guest.vmid}")
    if service is not None:
        row["hastate"] = service.state
    for name, pool in datacenter.pools.items():
        if guest.vmid in pool["vms"]:
            row["pool"] = name
    return row


def _node(node: Node, datacenter: Datacenter, *, may_audit: bool) -> dict[str, t.Any]:
    row: dict[str, t.Any] = {"id": f"node/{node.name}", "type": "node", "node": node.name, "level": ""}
    row["status"] = "offline" if not node.is_online else "online" if node.is_reporting else "unknown"
    if not node.is_reporting or not may_audit:
        return row
    used = sum(figures.memory_bytes(g) for g in _running(datacenter, node.name))
    return {
        **row,
        "cgroup-mode": 2,
        "maxcpu": node.cpus,
        "cpu": 0.08,
        "maxmem": node.memory_bytes,
        "mem": min(node.memory_bytes, 2 * 2**30 + used),
        "maxdisk": node.root_bytes,
        "disk": node.root_bytes // 10,
        "uptime": max(1, int(datacenter.now_s() - node.booted_at_s)),
    }


def _running(datacenter: Datacenter, node: str) -> list[Guest]:
    return [g for g in datacenter.guests.values() if g.node == node and datacenter.machines.of(g) is not None]


def _storages(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    rows = []
    for node in datacenter.nodes.values():
        for storage in datacenter.shelf.storages.values():
            if not storage.is_on(node.name) or not any(call.may(f"/storage/{storage.id}", p) for p in _EITHER):
                continue
            row: dict[str, t.Any] = {
                "id": f"storage/{node.name}/{storage.id}",
                "type": "storage",
                "storage": storage.id,
                "node": node.name,
                "plugintype": storage.kind,
                "content": storage.content,
                "shared": int(storage.is_shared),
                "status": "available" if node.is_reporting else "unknown",
            }
            if node.is_reporting:
                row["maxdisk"], row["disk"] = sizes(datacenter, storage, node.name)
            rows.append(row)
    return rows


@ROUTES.add("GET", "/cluster/nextid")
def nextid(datacenter: Datacenter, call: Call) -> str:
    wanted = call.params.get("vmid")
    if wanted is not None:
        if int(wanted) in datacenter.guests:
            raise PveError(400, "Parameter verification failed.", {"vmid": f"VM {wanted} already exists"})
        return str(wanted)
    return str(next(number for number in range(100, 10**9) if number not in datacenter.guests))


@ROUTES.add("GET", "/cluster/options")
def cluster_options(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require("/", "Sys.Audit")
    return {"keyboard": "en-us"}


@ROUTES.add("GET", "/cluster/log")
def cluster_log(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    if not call.may("/", "Sys.Syslog"):
        return []
    rows = []
    for number, task in enumerate(datacenter.tasks.recent(), start=1):
        shown = {
            "uid": number,
            "time": int(task.started_at_s),
            "node": task.node,
            "user": task.user,
            "tag": "pvedaemon",
        }
        rows.append(
            {**shown, "id": f"{number}:{task.node}", "pid": task.pid, "pri": 6, "msg": f"starting task {task.upid}"}
        )
    return rows[: int(call.params.get("max", 50))]


@ROUTES.add("GET", "/cluster/config/nodes")
def config_nodes(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    call.require("/", "Sys.Audit")
    return [
        {"node": n.name, "name": n.name, "nodeid": str(n.number), "quorum_votes": "1", "ring0_addr": n.address}
        for n in datacenter.nodes.values()
    ]


@ROUTES.add("GET", "/cluster/config/qdevice")
def config_qdevice(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require("/", "Sys.Audit")
    if not datacenter.votes.has_qdevice:
        return {}
    return {
        "Model": "Net",
        "State": "Connected",
        "Algorithm": "Fifty-Fifty split",
        "Tie-breaker": "Node with lowest node ID",
    }


# --- nodes ------------------------------------------------------------------------------------------------------------


@ROUTES.add("GET", "/nodes")
def nodes(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    return [
        {**_node(n, datacenter, may_audit=call.may(f"/nodes/{n.name}", "Sys.Audit")), "ssl_fingerprint": ""}
        for n in datacenter.nodes.values()
    ]


@ROUTES.add("GET", "/nodes/{node}/status")
def node_status(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/nodes/{call.node}", "Sys.Audit")
    node = datacenter.node(call.node)
    row = _node(node, datacenter, may_audit=True)
    memory, disk = (row["maxmem"], row["mem"]), (row["maxdisk"], row["disk"])
    return {
        "uptime": row["uptime"],
        "cpu": row["cpu"],
        "wait": 0.0,
        "loadavg": ["0.31", "0.27", "0.22"],
        "cpuinfo": {"cpus": node.cpus, "cores": node.cpus // 2, "sockets": 1, "model": "Xeon", "mhz": "2600.000"},
        "memory": _room(*memory, left="available"),
        "rootfs": _room(*disk, left="avail"),
        "swap": _room(0, 0, left="free"),
        "pveversion": f"pve-manager/{VERSION}/{REPO_ID}",
        "kversion": "Linux 6.17.2-1-pve #1 SMP PREEMPT_DYNAMIC",
        "boot-info": {"mode": "efi", "secureboot": 0},
        "current-kernel": {"sysname": "Linux", "release": "6.17.2-1-pve", "version": "#1 SMP", "machine": "x86_64"},
    }


def _room(total: int, used: int, *, left: str) -> dict[str, int]:
    return {"total": total, "used": used, "free": total - used, left: total - used}


@ROUTES.add("GET", "/nodes/{node}/time")
def node_time(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/nodes/{call.node}", "Sys.Audit")
    now_s = int(datacenter.now_s() + datacenter.node(call.node).clock_fast_s)
    return {"time": now_s, "localtime": now_s, "timezone": "UTC"}


@ROUTES.add("GET", "/nodes/{node}/network")
def networks(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    if call.params.get("type") not in (None, "bridge", "any_bridge"):
        return []
    common = {"type": "bridge", "active": 1, "autostart": 1, "method": "manual", "method6": "manual"}
    names = enumerate(sorted(datacenter.bridges), start=1)
    return [{"iface": name, **common, "priority": number, "families": ["inet"]} for number, name in names]


# --- pools ------------------------------------------------------------------------------------------------------------


def _pool(datacenter: Datacenter, name: str) -> dict[str, t.Any]:
    if name not in datacenter.pools:
        raise PveError(500, f"pool '{name}' does not exist")
    members = [
        {**_guest(datacenter, datacenter.guests[i])} for i in datacenter.pools[name]["vms"] if i in datacenter.guests
    ]
    return {"comment": datacenter.pools[name].get("comment", ""), "members": members}


@ROUTES.add("GET", "/pools")
def pools(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    wanted = call.params.get("poolid")
    if wanted is not None:
        call.require(f"/pool/{wanted}", "Pool.Audit")
        return [{"poolid": wanted, **_pool(datacenter, str(wanted))}]
    names = [n for n in datacenter.pools if call.may(f"/pool/{n}", "Pool.Audit")]
    return [{"poolid": n, "comment": datacenter.pools[n].get("comment", "")} for n in names]


@ROUTES.add("GET", "/pools/{poolid}")
def read_pool(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/pool/{call.args['poolid']}", "Pool.Audit")
    return _pool(datacenter, call.args["poolid"])


@ROUTES.add("POST", "/pools")
def create_pool(datacenter: Datacenter, call: Call) -> None:
    name = str(call.params["poolid"])
    call.require(f"/pool/{name}", "Pool.Allocate")
    datacenter.require_quorum(call.door_node)
    if name in datacenter.pools:
        raise PveError(500, f"pool '{name}' already exists")
    datacenter.pools[name] = {"vms": [], "storage": [], "comment": str(call.params.get("comment", ""))}


@ROUTES.add("PUT", "/pools/{poolid}")
def change_pool(datacenter: Datacenter, call: Call) -> None:
    name = call.args["poolid"]
    call.require(f"/pool/{name}", "Pool.Allocate")
    _pool(datacenter, name)
    for vmid in [int(i) for i in str(call.params.get("vms", "")).split(",") if i]:
        if call.flag("delete"):
            datacenter.pools[name]["vms"].remove(vmid)
        else:
            join_pool(datacenter, vmid, name)
    if "comment" in call.params:
        datacenter.pools[name]["comment"] = str(call.params["comment"])


@ROUTES.add("DELETE", "/pools/{poolid}")
def delete_pool(datacenter: Datacenter, call: Call) -> None:
    name = call.args["poolid"]
    call.require(f"/pool/{name}", "Pool.Allocate")
    _pool(datacenter, name)
    datacenter.require_quorum(call.door_node)
    if vms := datacenter.pools[name]["vms"]:
        raise PveError(500, f"pool '{name}' is not empty (contains VM {vms[0]})")
    del datacenter.pools[name]
