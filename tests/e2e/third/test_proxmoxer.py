# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proxmoxer as it is, without a line of ours round it: logins, errors with their reasons, tasks."""

from __future__ import annotations

import time

import pytest
import requests
from proxmoxer import AuthenticationError, ResourceException  # type: ignore[import-untyped]
from proxmoxer.tools import Tasks  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import Key
from ansible_collections.ferragosto.dr.tests.e2e.third.kit import USER, Stranger


def test_token_and_password_open_the_same_site(stranger: Stranger) -> None:
    names = {vm.vm for vm in stranger.lab.wish.vms} | {"twin"}
    by_token, by_password = stranger.by_token(), stranger.by_password(USER, "a colleague's password")
    for client in (by_token, by_password, stranger.by_password(), stranger.by_token(node=stranger.replica)):
        assert {row["name"] for row in client.cluster.resources.get(type="vm")} == names
        assert client.version.get()["release"] == "9.2"
    assert by_token.get_tokens() == (None, None)
    ticket, csrf = by_password.get_tokens()
    assert ticket.startswith(f"PVE:{USER}:")
    assert csrf


def test_ticket_changes_what_a_token_changes(stranger: Stranger) -> None:
    """A ticket needs its CSRF token for this; proxmoxer sends it."""
    vmid = stranger.vmid("solo")
    for number, client in enumerate((stranger.by_token(), stranger.by_password(USER, "a colleague's password"))):
        vm = client.nodes(stranger.production).qemu(vmid)
        assert vm.config.put(description=f"change {number}") is None
        assert vm.config.get()["description"] == f"change {number}"


def test_old_ticket_is_renewed_by_itself(stranger: Stranger) -> None:
    client = stranger.by_password()
    auth = client._store["session"].auth
    old = client.get_tokens()[0]
    auth.birth_time -= 2 * auth.renew_age
    time.sleep(1.1)  # a ticket is stamped with its second
    assert client.nodes.get()
    assert client.get_tokens()[0] != old


def test_sessions_that_end_are_noticed(stranger: Stranger) -> None:
    by_token, by_password = stranger.by_token(), stranger.by_password()
    stranger.bench.control.kill_sessions()
    with pytest.raises(ResourceException, match="401"):
        by_password.nodes.get()
    assert by_token.nodes.get(), "a token has no session"


def test_who_is_not_known_is_not_let_in(stranger: Stranger) -> None:
    with pytest.raises(AuthenticationError, match="401"):
        stranger.by_password(password="wrong")
    wrong = Key(stranger.key.user, stranger.key.token_id, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(ResourceException) as refused:
        stranger.by_token(wrong).nodes.get()
    assert (refused.value.status_code, refused.value.status_message) == (401, "Unauthorized")


def test_certificate_of_an_unknown_authority_is_refused_by_the_client(stranger: Stranger) -> None:
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.by_token(verify_ssl=True).nodes.get()


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (
            "nodes/{node}/qemu/9999/config",
            500,
            "Configuration file 'nodes/{node}/qemu-server/9999.conf' does not exist",
        ),
        ("nodes/nowhere/qemu", 500, "hostname lookup 'nowhere' failed"),
        ("storage/pbs", 403, r"Permission check failed \(/storage/pbs, Datastore.Allocate\)"),
        ("no/such/call", 501, "not implemented"),
        ("nodes/{node}/qemu/{vmid}/snapshot/none/config", 500, "snapshot 'none' does not exist"),
    ],
)
def test_an_error_carries_its_reason(stranger: Stranger, path: str, status: int, words: str) -> None:
    node = stranger.production
    with pytest.raises(ResourceException, match=words.format(node=node)) as refused:
        stranger.by_token().get(*path.format(node=node, vmid=stranger.vmid("solo")).split("/"))
    assert refused.value.status_code == status


def test_pythons_true_is_no_boolean(stranger: Stranger) -> None:
    vm = stranger.by_token().nodes(stranger.production).qemu(stranger.vmid("solo"))
    before = vm.config.get()
    with pytest.raises(ResourceException, match=r"type check \('boolean'\) failed - got 'True'") as refused:
        vm.config.put(onboot=True)
    assert refused.value.status_code == 400
    assert list(refused.value.errors) == ["onboot"]
    assert vm.config.get() == before
    vm.config.put(onboot=1)
    assert vm.config.get()["onboot"] == 1


def test_unknown_parameter_is_refused_by_its_name(stranger: Stranger) -> None:
    vm = stranger.by_token().nodes(stranger.production).qemu(stranger.vmid("solo"))
    with pytest.raises(ResourceException) as refused:
        vm.status.start.post(forse=1)
    assert refused.value.errors == {
        "forse": "property is not defined in schema and the schema does not allow additional properties"
    }


def test_task_is_awaited_with_proxmoxers_own_tools(stranger: Stranger) -> None:
    client, node = stranger.by_token(), stranger.production
    upid = client.nodes(node).qemu(stranger.vmid("solo")).status.stop.post()
    named = Tasks.decode_upid(upid)
    assert (named["node"], named["type"], named["id"]) == (node, "qmstop", str(stranger.vmid("solo")))
    assert named["user"] == USER
    assert abs(named["starttime"] - time.time()) < 60
    ended = Tasks.blocking_status(client, upid, timeout=10, polling_interval=0.05)
    assert (ended["status"], ended["exitstatus"]) == ("stopped", "OK")
    assert (ended["user"], ended["tokenid"]) == (USER, "modules")
    assert ended["starttime"] == named["starttime"]
    log = Tasks.decode_log(client.nodes(node).tasks(upid).log.get())
    assert log.endswith("TASK OK")
    assert not stranger.is_on("solo")


def test_stopped_is_not_ok(stranger: Stranger) -> None:
    client, node = stranger.by_token(), stranger.production
    stranger.bench.control.lock("solo", "backup")
    upid = client.nodes(node).qemu(stranger.vmid("solo")).status.stop.post()
    ended = Tasks.blocking_status(client, upid, timeout=10, polling_interval=0.05)
    assert (ended["status"], ended["exitstatus"]) == ("stopped", "VM is locked (backup)")
    assert stranger.is_on("solo")


def test_task_that_takes_too_long_is_given_up(stranger: Stranger) -> None:
    stranger.bench.control.rule(action="stuck_task", target="qmstop")
    client = stranger.by_token()
    upid = client.nodes(stranger.production).qemu(stranger.vmid("solo")).status.stop.post()
    assert Tasks.blocking_status(client, upid, timeout=0.3, polling_interval=0.05) is None
    client.nodes(stranger.production).tasks(upid).delete()
    ended = Tasks.blocking_status(client, upid, timeout=10, polling_interval=0.05)
    assert ended["exitstatus"] == "interrupted by signal"


def test_call_for_a_dead_node_is_595_whoever_is_asked(stranger: Stranger) -> None:
    client = stranger.by_token(node=stranger.replica)
    stranger.bench.control.host_lost(stranger.production)
    with pytest.raises(ResourceException, match="No route to host") as refused:
        client.nodes(stranger.production).qemu(stranger.vmid("solo")).config.get()
    assert refused.value.status_code == 595
    rows = {row["vmid"]: row for row in client.cluster.resources.get(type="vm")}
    lost = rows[stranger.vmid("solo")]
    assert lost["status"] == "unknown"
    assert "name" not in lost
