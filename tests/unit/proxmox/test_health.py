# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What task lists and QEMU tell of a VM, and how a wait for a guest ends."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EventKind
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome
from ansible_collections.ferragosto.dr.tests.unit.proxmox.front import Say

NOW_S = 1786759200


def task(kind, at_s=NOW_S, user="luca@pve", status="OK", node="pve1", **more):
    row = {
        "upid": f"UPID:{node}:{kind}:{at_s}",
        "node": node,
        "type": kind,
        "id": "100",
        "user": user,
        "starttime": at_s,
    }
    return row | ({"endtime": at_s + 2, "status": status} if status else {}) | more


@pytest.fixture
def site(door, cluster, open_site):
    cluster.states[100] = {"status": "stopped"}
    cluster.open(door)
    door.script["GET /nodes/pve2/tasks"] = Say([])
    return open_site(door)


def events_of(site, door, *rows, by_node=()):
    def tasks(asked):
        kind = asked.params.get("typefilter")
        return Say([row for row in by_node if row["type"] == kind] if kind else list(rows))

    door.script["GET /nodes/pve1/tasks"] = tasks
    [vm] = [vm for vm in site.read().production.vms if vm.id == "100"]
    return site.events(vm, NOW_S - 3600)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (task("qmstart"), EventKind.POWERED_ON),
        (task("qmstop"), EventKind.POWERED_OFF),
        (task("qmshutdown"), EventKind.GUEST_SHUTDOWN),
        (task("qmreset"), EventKind.RESET),
        (task("qmreboot", status="WARNINGS: 1"), EventKind.RESET),
        (task("qmigrate"), EventKind.MIGRATED),
        (task("qmconfig"), EventKind.RECONFIGURED),
        (task("qmsnapshot"), EventKind.SNAPSHOT),
        (task("qmrollback"), EventKind.SNAPSHOT),
        (task("hamigrate"), EventKind.OTHER),
        (task("somethingnew"), EventKind.OTHER),
        (task("qmstart", status="start failed: QEMU exited with code 1"), EventKind.OTHER),
        (task("qmstart", status=""), EventKind.OTHER),
        (task("qmshutdown", status=""), EventKind.GUEST_SHUTDOWN),
    ],
)
def test_a_task_is_an_event(site, door, row, kind):
    [event] = events_of(site, door, row)
    assert (event.kind, event.user, event.at_s) == (kind, "luca@pve", NOW_S)


def test_events_come_oldest_first_each_once_and_only_of_this_vm(site, door):
    rows = [task("qmstop", NOW_S + 60), task("qmstart"), task("qmstart"), task("qmstart", NOW_S - 9, id="101")]
    assert [e.kind for e in events_of(site, door, *rows)] == [EventKind.POWERED_ON, EventKind.POWERED_OFF]


def test_looking_at_the_console_is_nothing_that_happened(site, door):
    assert events_of(site, door, task("vncproxy")) == ()


def test_a_task_of_somebody_elses_token_names_the_token_ours_names_nobody(site, door):
    rows = [
        task("qmstart", user="dr@pve", tokenid="ferragosto"),
        task("qmstop", NOW_S + 1, user="dr@pve", tokenid="other"),
    ]
    assert [e.user for e in events_of(site, door, *rows)] == ["", "dr@pve!other"]


def test_root_who_logged_in_is_a_person_and_a_node_that_goes_down_is_none(site, door):
    row = task("qmshutdown", user="root@pam")
    assert events_of(site, door, row)[0].user == "root@pam"
    down = task("stopall", NOW_S - 5, user="root@pam", id="", endtime=NOW_S + 30)
    assert events_of(site, door, row, by_node=[down])[0].user == ""
    long_ago = task("stopall", NOW_S - 5000, user="root@pam", id="", endtime=NOW_S - 4000)
    assert events_of(site, door, row, by_node=[long_ago])[0].user == "root@pam"


def test_what_ha_does_is_the_doing_of_who_asked_it(site, door):
    rows = [task("hastop", user="luca@pve"), task("qmshutdown", NOW_S + 8, user="root@pam")]
    assert [e.user for e in events_of(site, door, *rows)] == ["luca@pve", "luca@pve"]


def test_a_scheduled_backup_is_nobodys_doing(site, door):
    assert events_of(site, door, task("vzdump", user="root@pam"))[0].user == ""


def test_a_vm_that_moved_has_its_history_on_both_nodes(site, door):
    door.script["GET /nodes/pve2/tasks"] = Say([task("qmigrate", NOW_S - 60, node="pve2")])
    assert [e.kind for e in events_of(site, door, task("qmstart"))] == [EventKind.MIGRATED, EventKind.POWERED_ON]


def test_a_node_that_cannot_be_asked_does_not_hide_the_others_events(site, door):
    door.script["GET /nodes/pve2/tasks"] = Say(status=596, text="timeout")
    assert len(events_of(site, door, task("qmstart"))) == 1


def test_a_panic_that_qemu_knows_of_is_a_crash(site, door, cluster):
    cluster.states[100] |= {"status": "running", "qmpstatus": "guest-panicked"}
    assert events_of(site, door)[-1].kind is EventKind.CRASHED


def test_disks_without_a_vm_have_no_events(site, door):
    [replica] = [vm for vm in site.read().production.vms if vm.id == "replica:100"]
    assert site.events(replica, 0) == site.last_events(replica) == ()


# --- waiting ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def wait_for_it(door, cluster, open_site, clock):
    def build(states, pings=(), agent="1", within_s=60.0, since_s=None):
        cluster.configs["pve1", 100]["agent"] = agent
        cluster.open(door)
        door.script["GET /nodes/pve1/qemu/100/status/current"] = [
            one if isinstance(one, Say) else Say(one) for one in states
        ]
        door.script["POST /nodes/pve1/qemu/100/agent/ping"] = list(pings) or Say({})
        site = open_site(door)
        [vm] = [vm for vm in site.read().production.vms if vm.id == "100"]
        return site.await_guest(vm, within_s=within_s, since_s=clock.now_s() - 60 if since_s is None else since_s)

    return build


ON = {"status": "running", "qmpstatus": "running", "uptime": 30}
SILENT = Say(status=500, text="QEMU guest agent is not running")


@pytest.mark.parametrize(
    ("states", "outcome", "words"),
    [
        ([ON], GuestOutcome.ALIVE, "agent answers"),
        ([{"status": "stopped"}], GuestOutcome.POWERED_OFF, "it is off"),
        ([{"status": "stopped", "lock": "rollback"}], GuestOutcome.BLOCKED, "locked (rollback)"),
        ([ON | {"qmpstatus": "paused"}], GuestOutcome.POWERED_OFF, "suspended"),
        ([ON | {"qmpstatus": "io-error"}], GuestOutcome.BLOCKED, "I/O error"),
        ([ON | {"qmpstatus": "guest-panicked"}], GuestOutcome.CRASHED, "guest-panicked"),
        ([ON | {"qmpstatus": "internal-error"}], GuestOutcome.CRASHED, "internal-error"),
        ([ON | {"lock": "backup"}], GuestOutcome.ALIVE, "agent answers"),
    ],
)
def test_a_wait_ends_with_what_qemu_and_the_agent_say(wait_for_it, states, outcome, words):
    found = wait_for_it(states)
    assert found.outcome is outcome
    assert words in found.evidence


def test_an_agent_that_was_silent_and_speaks_is_the_new_guests(wait_for_it, clock):
    found = wait_for_it([ON], [SILENT, SILENT, Say({})], since_s=clock.now_s())
    assert found.outcome is GuestOutcome.ALIVE
    assert found.took_s < 3


def test_an_agent_that_answers_at_once_may_still_be_the_old_guests(wait_for_it, clock):
    assert wait_for_it([ON], since_s=clock.now_s()).took_s >= 4


def test_a_guest_without_an_agent_is_up_when_it_stays_up(wait_for_it):
    found = wait_for_it([ON], agent="0")
    assert found.outcome is GuestOutcome.ALIVE
    assert found.took_s >= 20
    assert "only a check of the service" in found.evidence


def test_a_guest_without_an_agent_that_keeps_restarting_is_not_up(wait_for_it):
    loop = [{**ON, "uptime": uptime} for dummy in range(40) for uptime in (5, 9)]
    found = wait_for_it(loop, agent="0", within_s=35)
    assert found.outcome is GuestOutcome.TIMED_OUT
    assert "it restarted" in found.evidence


def test_time_runs_out_with_what_was_seen_last(wait_for_it):
    found = wait_for_it([ON], [SILENT], within_s=30)
    assert found.outcome is GuestOutcome.TIMED_OUT
    assert found.evidence == "not alive within 30 s: power on, its guest agent is silent"


def test_a_node_that_is_silent_for_a_while_is_waited_for(wait_for_it):
    silent = Say(status=596, text="Connection timed out")
    found = wait_for_it([silent, silent, silent, silent, ON])
    assert found.outcome is GuestOutcome.ALIVE


def test_a_node_that_stays_silent_is_told_at_the_end(wait_for_it):
    found = wait_for_it([Say(status=595, text="No route to host")], within_s=20)
    assert found.outcome is GuestOutcome.TIMED_OUT
    assert "No route to host" in found.evidence


# --- what cannot be done ---------------------------------------------------------------------------------------------


def test_privileges_that_the_account_has_nowhere_are_refused_before_they_are_needed(door, cluster, open_site):
    door.script["GET /access/permissions"] = Say({"/": {"Sys.Audit": 1}, "/vms": {"VM.Audit": 1, "VM.PowerMgmt": 1}})
    site = open_site(cluster.open(door))
    site.read()
    found = site.refusals()
    assert set(found) == {"promote", "migrate"}
    assert "lacks VM.Migrate" in found["migrate"]


@pytest.mark.parametrize("answer", [Say({}), Say(status=501, text="not implemented"), Say([])])
def test_privileges_that_cannot_be_read_are_no_refusal(door, cluster, open_site, answer):
    door.script["GET /access/permissions"] = answer
    site = open_site(cluster.open(door))
    site.read()
    assert site.refusals() == {}


@pytest.mark.parametrize(
    ("ssh", "is_refused"), [({}, True), ({"ssh_user": "root", "ssh_key_path": "k", "ssh_known_hosts_path": "h"}, False)]
)
def test_without_quorum_only_ssh_can_go_on(door, cluster, open_site, ssh, is_refused):
    cluster.kill("pve1")
    site = open_site(cluster.open(door), **ssh)
    site.read()
    assert ("promote" in site.refusals()) is is_refused
