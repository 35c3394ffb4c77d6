# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tickets, tokens and rights at the doors of a Proxmox twin."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from proxmoxer import ResourceException  # type: ignore[import-untyped]
from proxmoxer.core import AuthenticationError  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import permissions
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import ROOT, USER, Access, Identity, Key
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.rights import PRIVILEGES, Acl
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import Schema
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.door_kit import Site, site

VM = "/nodes/pve1/qemu/100"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Site]:
    """A site whose clock stands until it is turned."""
    with site(tmp_path, clock=TurnedClock()) as made:
        yield made


def turn(made: Site, seconds: float) -> None:
    assert isinstance(made.world.clock, TurnedClock)
    made.world.clock.turn(seconds)


def add_token(made: Site, token_id: str, user: str = USER, *, is_separate: bool = True, expires_s: float = 0.0) -> Key:
    key = Key(user, token_id, str(uuid.uuid4()))
    made.doors.auth.add_token(key, is_separate=is_separate, expires_s=expires_s)
    return key


# --- who calls -------------------------------------------------------------------------------------------------------


def test_a_password_buys_a_ticket_that_works_on_every_node(shared):
    ticket, csrf = shared.by_password(node="pve1").get_tokens()
    assert ticket.startswith(f"PVE:{ROOT}:")
    for node in ("pve1", "pve2"):
        headers = {"Cookie": f"PVEAuthCookie={ticket}"}
        assert shared.raw("GET", f"{VM}/config", node=node, headers=headers).status_code == 200
        headers["CSRFPreventionToken"] = csrf
        assert shared.raw("PUT", f"{VM}/config", node=node, headers=headers, data={"onboot": "0"}).status_code == 200


def test_a_ticket_without_its_csrf_token_changes_nothing(shared):
    ticket = shared.by_password().get_tokens()[0]
    for token in ({}, {"CSRFPreventionToken": "65000000:abc"}, {"CSRFPreventionToken": ""}):
        answer = shared.raw(
            "PUT", f"{VM}/config", headers={"Cookie": f"PVEAuthCookie={ticket}", **token}, data={"onboot": 1}
        )
        assert (answer.status_code, answer.reason) == (401, "Permission denied - invalid csrf token")


def test_the_answer_to_a_login_tells_the_rights(shared):
    words = {"username": "root", "realm": "pam", "password": shared.doors.keys.root_password}
    data = requests.post(shared.url("pve1", "/access/ticket"), data=words, verify=shared.ca_path, timeout=5).json()[
        "data"
    ]
    assert (data["username"], data["clustername"]) == (ROOT, "luca")
    assert data["cap"]["vms"]["VM.Migrate"] == 1


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "No ticket"),
        ({"Cookie": "PVEAuthCookie=PVE:root@pam:65000000::bm8="}, "Authentication failed!"),
        ({"Cookie": "PVEAuthCookie=rubbish"}, "Authentication failed!"),
        ({"Authorization": f"PVEAPIToken=dr@pve!operator={uuid.UUID(int=1)}"}, "Authentication failed!"),
        ({"Authorization": f"PVEAPIToken=dr@pve!nobody={uuid.UUID(int=1)}"}, "Authentication failed!"),
        ({"Authorization": f"PVEAPIToken=nobody@pve!x={uuid.UUID(int=1)}"}, "Authentication failed!"),
        ({"Authorization": "PVEAPIToken=rubbish"}, "Authentication failed!"),
    ],
    ids=["nothing", "forged ticket", "no ticket", "wrong secret", "no such token", "no such user", "no token"],
)
def test_who_is_not_known_gets_401_without_a_body_and_the_line_ends(shared, headers, reason):
    answer = shared.raw("GET", f"{VM}/config", headers=headers)
    assert (answer.status_code, answer.reason, answer.content) == (401, reason, b"")
    assert answer.headers["Connection"] == "close"


def test_a_failed_login_is_slow_and_nobody_else_waits_for_it(tmp_path):
    with site(tmp_path, pace=0.2) as made:  # 3 s become 0.6
        began = time.monotonic()
        with pytest.raises(AuthenticationError, match="Couldn't authenticate user: root@pam"):
            made.by_password(password="wrong")
        assert 0.6 <= time.monotonic() - began < 3
        wrong = Key(USER, "operator", "wrong")
        began = time.monotonic()
        with pytest.raises(ResourceException, match="Authentication failed!") as caught:
            made.by_token(wrong).nodes("pve1").qemu.get()
        assert caught.value.status_code == 401
        assert 0.6 <= time.monotonic() - began < 3


def test_a_ticket_lives_two_hours_by_the_worlds_clock(still):
    ticket, csrf = still.by_password().get_tokens()
    headers = {"Cookie": f"PVEAuthCookie={ticket}", "CSRFPreventionToken": csrf}
    turn(still, 7200)
    assert still.raw("PUT", f"{VM}/config", headers=headers, data={"onboot": 0}).status_code == 200
    turn(still, 1)
    assert still.raw("GET", f"{VM}/config", headers=headers).reason == "Authentication failed!"


def test_a_living_ticket_buys_a_new_one(still):
    ticket = still.by_password().get_tokens()[0]
    url, words = still.url("pve2", "/access/ticket"), {"username": ROOT, "password": ticket}
    turn(still, 7000)
    renewed = requests.post(url, data=words, verify=still.ca_path, timeout=5).json()["data"]["ticket"]
    turn(still, 7000)
    assert still.raw("GET", f"{VM}/config", headers={"Cookie": f"PVEAuthCookie={renewed}"}).status_code == 200
    refused = requests.post(url, data=words, verify=still.ca_path, timeout=5)
    assert (refused.status_code, refused.reason) == (401, "authentication failure")


def test_a_ticket_of_one_user_is_no_password_of_another(shared):
    shared.doors.auth.add_user("mario@pve", "segreto")
    ticket = shared.by_password(user="mario@pve", password="segreto").get_tokens()[0]
    with pytest.raises(AuthenticationError):
        shared.by_password(user=ROOT, password=ticket)


def test_a_token_may_expire(still):
    key = add_token(still, "short", expires_s=still.world.clock.now_s() + 10)
    assert still.raw("GET", "/nodes/pve1/qemu", headers=key.header).status_code == 200
    turn(still, 11)
    assert still.raw("GET", "/nodes/pve1/qemu", headers=key.header).reason == "Authentication failed!"


def test_some_calls_want_a_proper_ticket(shared):
    answer = shared.raw("PUT", "/access/password", data={"userid": USER, "password": "x"})
    assert (answer.status_code, answer.reason) == (
        403,
        "Permission check failed (URI '/access/password' not available with API token, need proper ticket.",
    )


# --- rights ----------------------------------------------------------------------------------------------------------


def test_the_operator_holds_the_documented_rights_and_no_more(shared):
    access = shared.doors.auth
    may = {
        p: set(access.privileges(Identity(USER, "operator"), p))
        for p in ("/", "/vms/100", "/storage/tank", "/sdn/zones/z")
    }
    assess = {"VM.Audit", "VM.GuestAgent.Audit", "Datastore.Audit", "Sys.Audit", "Pool.Audit"}
    assert may["/"] == assess
    assert may["/vms/100"] == {
        *("VM.Audit", "VM.GuestAgent.Audit", "VM.PowerMgmt", "VM.Migrate", "VM.Replicate", "VM.Config.Options"),
        *("VM.Config.Network", "VM.Config.Disk", "VM.Allocate", "VM.Clone", "VM.Snapshot", "VM.Snapshot.Rollback"),
        "VM.Console",
        # beyond the facts' list: what POST qemu wants for a shell VM with the original's hardware
        *("VM.Config.CPU", "VM.Config.Memory", "VM.Config.HWType", "VM.Config.CDROM", "VM.Config.Cloudinit"),
    }
    assert may["/storage/tank"] == {"Datastore.Audit", "Datastore.AllocateSpace", "Datastore.Allocate"}
    assert may["/sdn/zones/z"] == {"SDN.Use"}
    assert set(access.privileges(Identity(USER, "ha"), "/")) == assess | {"Sys.Console"}
    assert set(access.privileges(Identity(USER, "assess"), "/vms/100")) == {"VM.Audit", "VM.GuestAgent.Audit"}
    assert access.privileges(Identity(USER, "blind"), "/vms/100") == {}


def test_a_missing_right_is_a_403_that_names_it(shared):
    with pytest.raises(ResourceException) as caught:
        shared.by_token(shared.doors.keys.assess).nodes("pve1").qemu(100).status.stop.post()
    assert (caught.value.status_code, caught.value.content) == (403, "Permission check failed (/vms/100, VM.PowerMgmt)")


def test_the_blind_token_sees_empty_lists(shared):
    api = shared.by_token(shared.doors.keys.blind)
    assert api.nodes("pve1").qemu.get() == []
    assert api.access.permissions.get() == {}
    with pytest.raises(ResourceException, match=r"Permission check failed \(/vms/100, VM.Audit\)"):
        api.nodes("pve1").qemu(100).status.current.get()


def test_a_caller_reads_its_own_rights(shared):
    rows = shared.by_token().access.permissions.get()
    assert rows["/vms"]["VM.Migrate"] == 1
    assert set(shared.by_token(shared.doors.keys.assess).access.permissions.get(path="/vms/100")) == {"/vms/100"}
    with pytest.raises(ResourceException, match=r"\(/access, Sys.Audit\)"):
        shared.by_token(shared.doors.keys.blind).access.permissions.get(userid=ROOT)
    assert [row["userid"] for row in shared.by_token(shared.doors.keys.blind).access.users.get()] == [USER]


def test_privilege_separation_needs_both_grants(own):
    access, key = own.doors.auth, add_token(own, "sep")
    url = f"{VM}/status/current"
    assert own.raw("GET", url, headers=key.header).status_code == 403, "the token itself was granted nothing"
    access.acl.grant(f"{USER}!sep", "/vms/100", "PVEVMUser")
    assert own.raw("GET", url, headers=key.header).status_code == 200
    assert "VM.Backup" not in access.privileges(Identity(USER, "sep"), "/vms/100"), "its user was not granted that"
    access.acl.revoke(USER)
    assert own.raw("GET", url, headers=key.header).status_code == 403, "what its user lost, it lost"


def test_a_token_without_separation_is_its_user_but_never_root_itself(own):
    key = add_token(own, "full", ROOT, is_separate=False)
    api = own.by_token(key)
    assert api.nodes("pve1").qemu(100).config.put(onboot=1) is None
    for params in ({"args": "-device pvpanic"}, {"hookscript": "local:snippets/x.pl"}):
        with pytest.raises(ResourceException, match="only root can set") as caught:
            api.nodes("pve1").qemu(100).config.put(**params)
        assert caught.value.status_code == 500
    with pytest.raises(ResourceException) as caught:
        api.nodes("pve1").qemu(100).monitor.post(command="screendump /tmp/x.ppm")
    assert (caught.value.status_code, caught.value.content) == (500, "root-only command 'screendump'")
    with pytest.raises(ResourceException) as caught:
        api.nodes("pve1").qemu(100).migrate.post(target="pve2", force=1)
    assert caught.value.errors == {"force": "Only root may use this option."}
    assert own.by_password().nodes("pve1").qemu(100).config.put(args="-device pvpanic") is None


def test_a_pools_rights_count_for_its_members(own):
    own.datacenter.pools["clienti"] = {"vms": [100], "storage": []}
    access, key = own.doors.auth, add_token(own, "pool")
    access.acl.revoke(USER)
    for who in (USER, f"{USER}!pool"):
        access.acl.grant(who, "/pool/clienti", "PVEVMUser")
    assert own.raw("GET", f"{VM}/config", headers=key.header).status_code == 200
    assert own.raw("GET", "/nodes/pve2/qemu/200/config", headers=key.header).status_code == 403


CLONE = [
    "or",
    ["perm", "/vms/{newid}", ["VM.Allocate"]],
    ["perm", "/pool/{pool}", ["VM.Allocate"], "require_param", "pool"],
]
MAY = {("/vms/100", "VM.Clone"), ("/vms/9200", "VM.Allocate"), ("/pool/p", "VM.Allocate"), ("/", "Sys.Audit")}


@pytest.mark.parametrize(
    ("rule", "params", "refusal"),
    [
        (["perm", "/vms/{vmid}", ["VM.Clone"]], {"vmid": "100"}, ""),
        (["perm", "/vms/{vmid}", ["VM.Clone", "VM.Audit"]], {"vmid": "100"}, " (/vms/100, VM.Audit)"),
        (["perm", "/vms/{vmid}", ["VM.Clone", "VM.Audit"], "any", 1], {"vmid": "100"}, ""),
        (["perm", "/vms/{vmid}", ["VM.Audit", "VM.Backup"], "any", 1], {"vmid": "100"}, " (/vms/100, VM.Audit|VM.Backup)"),
        (["perm", "/", ["Sys.Audit"]], {}, ""),
        (["and", ["perm", "/", ["Sys.Audit"]], ["perm", "/", ["Sys.Modify"]]], {}, " (/, Sys.Modify)"),
        (CLONE, {"newid": "9200"}, ""),
        (CLONE, {"newid": "1", "pool": "p"}, ""),
        (CLONE, {"newid": "1"}, "_"),
    ],
)  # fmt: skip
def test_the_schemas_rules_about_rights(rule, params, refusal):
    said = ""
    try:
        permissions.check({"check": rule}, params, lambda path, privilege: (path, privilege) in MAY)
    except PveError as refused:
        said = refused.text.removeprefix("Permission check failed") or "_"
    assert said == refusal


def test_rights_are_looked_at_before_parameters_and_before_another_node_is_asked(own):
    own.datacenter.fail_node("pve2")
    for node in ("pve1", "pve2"):
        answer = own.raw("POST", f"/nodes/{node}/qemu/100/migrate", headers=own.doors.keys.blind.header)
        assert answer.reason == "Permission check failed (/vms/100, VM.Migrate)"


@pytest.mark.parametrize("schema", ["installed", None])
def test_no_call_forgets_its_rights(tmp_path, schema):
    """Of every call that PVE guards by a right on a path: the blind token gets 403, by the schema's rule or the engine's own."""
    known = Schema.installed()
    assert known is not None
    values = {
        "node": "pve1",
        "vmid": "100",
        "id": "100-0",
        "storage": "tank",
        "sid": "vm:100",
        "volume": "tank:vm-100-disk-0",
    }
    with site(tmp_path, schema=schema) as made, requests.Session() as session:
        session.headers.update(made.doors.keys.blind.header)
        forgotten, seen = [], 0
        for route in ROUTES.routes:
            rule = (known.permissions(route.method, route.template) or {}).get("check", [""])
            if rule[0] != "perm" or route.template.endswith(("/monitor", "/pools")):
                continue  # a rule with and, or, or of the body: the handlers' own
            path = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "xy"), route.template)
            answer = session.request(route.method, made.url("pve1", path), verify=made.ca_path, timeout=10)
            seen += 1
            if answer.status_code != 403:
                forgotten.append((route.method, route.template, answer.status_code, answer.reason))
        assert forgotten == []
        assert seen > 40


@pytest.mark.parametrize(
    ("grants", "path", "expected"),
    [
        ([("/", "PVEAuditor", True)], "/vms/100", True),
        ([("/", "PVEAuditor", False)], "/vms/100", False),
        ([("/", "PVEAuditor", False)], "/", True),
        ([("/vms/100", "PVEAuditor", False)], "/vms/100", True),
        ([("/vms/100", "PVEAuditor", True)], "/vms/101", False),
        ([("/", "PVEAuditor", True), ("/vms", "PVEDatastoreUser", True)], "/vms/100", False),
        ([("/", "PVEAuditor", True), ("/vms", "PVEDatastoreUser", False)], "/vms/100", True),
        ([("/", "PVEAuditor", True), ("/vms/100", "NoAccess", True)], "/vms/100", False),
        ([("/", "PVEAuditor", True), ("/vms/100", "NoAccess", True)], "/vms/101", True),
    ],
    ids=[
        "propagated from the root", "not propagated", "on the path itself", "nearest", "a neighbour",
        "a nearer grant replaces", "unless it does not reach here", "NoAccess", "NoAccess elsewhere",
    ],
)  # fmt: skip
def test_rights_come_down_the_paths_as_in_pve(grants, path, expected):
    acl = Acl()
    for where, role, propagate in grants:
        acl.grant("a@pve", where, role, propagate=propagate)
    assert ("VM.Audit" in acl.privileges("a@pve", path)) is expected


def test_a_role_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="no role 'Boss'; there are Administrator, "):
        Acl().grant("a@pve", "/", "Boss")
    with pytest.raises(ValueError, match=r"no such privilege: VM\.Everything"):
        Acl().add_role("Boss", ["VM.Everything"])


def test_root_may_everything():
    assert set(Access(lambda: 0.0).privileges(Identity(ROOT), "/vms/1")) == PRIVILEGES
