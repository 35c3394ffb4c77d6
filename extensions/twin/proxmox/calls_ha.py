# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on HA: resources, rules, status. To change any of it is Sys.Console on /, which is nearly root."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.ha import Service
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_RESOURCES, _RULES = "/cluster/ha/resources", "/cluster/ha/rules"


def _writer(datacenter: Datacenter, call: Call) -> None:
    call.require("/", "Sys.Console")
    datacenter.require_quorum(call.node or call.door_node)


def _service(datacenter: Datacenter, call: Call) -> Service:
    sid = call.args["sid"]
    sid = f"vm:{sid}" if sid.isdecimal() else sid
    if sid not in datacenter.ha.services:
        raise PveError(500, f"no such resource '{sid}'")
    return datacenter.ha.services[sid]


def _row(datacenter: Datacenter, service: Service) -> dict[str, t.Any]:
    kind = service.sid.partition(":")[0]
    row = {"sid": service.sid, "type": kind, "state": service.request, **service.settings}
    return {**row, "digest": datacenter.ha.digest()}


@ROUTES.add("GET", _RESOURCES)
def list_resources(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    call.require("/", "Sys.Audit")
    return [_row(datacenter, service) for service in datacenter.ha.services.values()]


@ROUTES.add("POST", _RESOURCES)
def add_resource(datacenter: Datacenter, call: Call) -> None:
    _writer(datacenter, call)
    sid = str(call.params["sid"])
    datacenter.ha.add(f"vm:{sid}" if sid.isdecimal() else sid, call.params)


@ROUTES.add("GET", f"{_RESOURCES}/{{sid}}")
def read_resource(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require("/", "Sys.Audit")
    return _row(datacenter, _service(datacenter, call))


@ROUTES.add("PUT", f"{_RESOURCES}/{{sid}}")
def change_resource(datacenter: Datacenter, call: Call) -> None:
    _writer(datacenter, call)
    datacenter.ha.set(_service(datacenter, call), call.params)


@ROUTES.add("DELETE", f"{_RESOURCES}/{{sid}}")
def delete_resource(datacenter: Datacenter, call: Call) -> None:
    """The guest stays as it is, unmanaged."""
    _writer(datacenter, call)
    datacenter.ha.remove(_service(datacenter, call).sid)


@ROUTES.add("POST", f"{_RESOURCES}/{{sid}}/migrate")
@ROUTES.add("POST", f"{_RESOURCES}/{{sid}}/relocate")
def migrate_resource(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    _writer(datacenter, call)
    service, node = _service(datacenter, call), str(call.params["node"])
    datacenter.node(node)
    service.goes_to = node
    return {"sid": service.sid, "requested-node": node}


@ROUTES.add("GET", "/cluster/ha/status/current")
def current(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    call.require("/", "Sys.Audit")
    return datacenter.ha.rows()


@ROUTES.add("GET", "/cluster/ha/status/manager_status")
def manager_status(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require("/", "Sys.Audit")
    nodes = {n.name: "online" if n.is_online else "unknown" for n in datacenter.nodes.values()}
    services = {s.sid: {"state": s.state, "node": _node(datacenter, s)} for s in datacenter.ha.services.values()}
    manager = {
        "master_node": datacenter.ha.master(),
        "node_status": nodes,
        "service_status": services,
        "timestamp": int(datacenter.now_s()),
    }
    return {"manager_status": manager, "quorum": {"quorate": "1" if datacenter.ha.master() else "0"}, "lrm_status": {}}


def _node(datacenter: Datacenter, service: Service) -> str:
    guest = datacenter.guests.get(service.vmid)
    return guest.node if guest is not None else ""


@ROUTES.add("GET", _RULES)
def list_rules(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    call.require("/", "Sys.Audit")
    wanted = call.params.get("resource")
    rules = datacenter.ha.rules.values()
    return [dict(r) for r in rules if wanted is None or wanted in str(r.get("resources", "")).split(",")]


@ROUTES.add("POST", _RULES)
def add_rule(datacenter: Datacenter, call: Call) -> None:
    _writer(datacenter, call)
    name = str(call.params["rule"])
    if name in datacenter.ha.rules:
        raise PveError(500, f"HA rule '{name}' already defined")
    unknown = [
        n for n in str(call.params.get("nodes", "")).split(",") if n and n.partition(":")[0] not in datacenter.nodes
    ]
    if unknown:
        raise PveError(500, f"no such cluster node '{unknown[0]}'")
    datacenter.ha.rules[name] = dict(call.params)


def _rule(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    if call.args["rule"] not in datacenter.ha.rules:
        raise PveError(500, f"no such ha rule '{call.args['rule']}'")
    return datacenter.ha.rules[call.args["rule"]]


@ROUTES.add("GET", f"{_RULES}/{{rule}}")
def read_rule(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require("/", "Sys.Audit")
    return dict(_rule(datacenter, call))


@ROUTES.add("PUT", f"{_RULES}/{{rule}}")
def change_rule(datacenter: Datacenter, call: Call) -> None:
    _writer(datacenter, call)
    _rule(datacenter, call).update({k: v for k, v in call.params.items() if k not in ("delete", "digest")})


@ROUTES.add("DELETE", f"{_RULES}/{{rule}}")
def delete_rule(datacenter: Datacenter, call: Call) -> None:
    _writer(datacenter, call)
    _rule(datacenter, call)
    del datacenter.ha.rules[call.args["rule"]]
