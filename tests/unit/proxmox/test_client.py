# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls and tasks: what is repeated, what never is, and how every answer of Proxmox VE reads for a technician."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import poll_s
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, NoSuchVm, VendorFault
from ansible_collections.ferragosto.dr.tests.unit.proxmox.conftest import SECRET, TOKEN
from ansible_collections.ferragosto.dr.tests.unit.proxmox.front import Say

UPID = "UPID:pve1:0001A2B3:00C0FFEE:66BE0000:qmstart:100:dr@pve!ferragosto:"
STATUS = f"GET /nodes/pve1/tasks/{UPID}/status"
LOG = f"GET /nodes/pve1/tasks/{UPID}/log"


def test_a_read_brings_the_data_over_one_kept_connection(door, open_client):
    door.script["GET /cluster/status"] = Say([{"type": "node", "name": "pve1"}])
    client = open_client(door.port)
    for _round in range(5):
        assert client.get("/cluster/status") == [{"type": "node", "name": "pve1"}]
    assert (client.calls, door.connections) == (5, 1)
    assert door.log[0].headers["authorization"] == f"PVEAPIToken={TOKEN}={SECRET}"


def test_booleans_go_as_digits_and_none_is_left_out(door, open_client):
    door.script["PUT /cluster/replication/100-0"] = Say(None)
    open_client(door.port).send("PUT", "/cluster/replication/100-0", disable=True, comment=None, rate=2.5, keep=False)
    assert door.log[0].params == {"disable": "1", "rate": "2.5", "keep": "0"}


# --- what is repeated ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [595, 596, 599])
def test_a_read_is_repeated_when_one_node_did_not_reach_another(door, open_client, status):
    door.script["GET /nodes/pve2/qemu/200/config"] = [Say(status=status, text="No route to host"), Say({"cores": 2})]
    assert open_client(door.port).get("/nodes/pve2/qemu/200/config") == {"cores": 2}


def test_a_read_is_repeated_when_the_line_is_cut(door, open_client):
    door.script["GET /version"] = [Say(drop=True), Say(drop=True), Say({"version": "9.2.11"})]
    assert open_client(door.port).get("/version") == {"version": "9.2.11"}


def test_reads_are_not_repeated_for_ever_nor_beyond_their_time(door, open_client, clock):
    door.script["GET /version"] = Say(drop=True)
    with pytest.raises(SiteUnreachable, match="dropped the connection"):
        open_client(door.port).get("/version")
    assert len(door.log) == 3
    with pytest.raises(SiteUnreachable):
        open_client(door.port, timeout_s=0.2).get("/version")
    assert len(door.log) == 4
    assert sum(clock.slept) < 2


def test_a_write_is_never_repeated_its_answer_is_lost(door, open_client):
    door.script["POST /nodes/pve1/qemu/100/status/start"] = Say(drop=True)
    with pytest.raises(ProviderFault) as lost:
        open_client(door.port).send("POST", "/nodes/pve1/qemu/100/status/start")
    assert lost.value.is_answer_lost
    assert len(door.log) == 1


@pytest.mark.parametrize(("status", "is_lost"), [(595, False), (596, True), (599, True)])
def test_a_write_that_was_passed_on_may_have_happened(door, open_client, status, is_lost):
    door.script["POST /nodes/pve2/qemu/200/status/stop"] = Say(status=status, text="Connection timed out")
    with pytest.raises(VendorFault) as fault:
        open_client(door.port).send("POST", "/nodes/pve2/qemu/200/status/stop")
    assert (fault.value.kind, fault.value.is_answer_lost, len(door.log)) == (Kind.NODE_SILENT, is_lost, 1)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_for_a_write(door, open_client):
    door.script["GET /version"] = Say({})
    door.script["POST /nodes/pve1/qemu/100/status/stop"] = Say(UPID)
    client = open_client(door.port)
    client.get("/version")
    door.cut_all()
    assert client.send("POST", "/nodes/pve1/qemu/100/status/stop") == UPID


def test_an_answer_that_comes_too_late_is_unreachable_for_a_read_and_lost_for_a_write(door, open_client):
    door.script["GET /version"] = door.script["POST /x"] = Say({}, after_s=1.5)
    client = open_client(door.port, timeout_s=0.3)
    with pytest.raises(SiteUnreachable, match="did not answer within"):
        client.get("/version")
    with pytest.raises(ProviderFault) as lost:
        client.send("POST", "/x")
    assert lost.value.is_answer_lost


# --- what the answers mean -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist", Kind.NO_SUCH_VM),
        (500, "cluster not ready - no quorum?", Kind.NO_QUORUM),
        (500, "cfs-lock 'file-replication_cfg' error: no quorum!", Kind.NO_QUORUM),
        (500, "unable to open file '/etc/pve/nodes/pve1/x.conf.tmp.9' - Permission denied", Kind.NO_QUORUM),
        (500, "VM 100 is not running", Kind.NOT_RUNNING),
        (500, "QEMU guest agent is not running", Kind.AGENT_SILENT),
        (500, "No QEMU guest agent configured", Kind.AGENT_OFF),
        (500, "VM is locked (backup)", Kind.LOCKED),
        (500, "VM 100 already running", Kind.RUNNING),
        (500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", Kind.EXISTS),
        (500, "detected modified configuration - file changed by other user? Try again.", Kind.CHANGED_MEANWHILE),
        (500, "root-only command 'screendump'", Kind.NO_RIGHT),
        (501, "Method 'GET /x' not implemented", Kind.NOT_IMPLEMENTED),
        (500, "something nobody foresaw", Kind.OTHER),
    ],
)
def test_a_sentence_of_proxmox_ve_has_a_kind_and_its_words_are_kept(door, open_client, status, text, kind):
    door.script["GET /x"] = Say(status=status, text=text)
    with pytest.raises(VendorFault) as fault:
        open_client(door.port).get("/x")
    assert fault.value.kind is kind
    assert text in fault.value.why
    assert fault.value.next
    assert len(door.log) == 1
    assert isinstance(fault.value, NoSuchVm) is (kind is Kind.NO_SUCH_VM)


def test_a_wrong_parameter_is_told_with_its_words(door, open_client):
    door.script["POST /x"] = Say(
        status=400,
        text="Parameter verification failed.",
        errors={"online": "type check ('boolean') failed - got 'True'"},
    )
    with pytest.raises(VendorFault, match="online: type check") as fault:
        open_client(door.port).send("POST", "/x", online=True)
    assert fault.value.kind is Kind.BAD_PARAMETER


def test_a_missing_right_names_privilege_path_and_role(door, open_client):
    door.script["POST /x"] = Say(status=403, text="Permission check failed (/vms/100, VM.Migrate)")
    with pytest.raises(VendorFault) as fault:
        open_client(door.port).send("POST", "/x")
    assert fault.value.kind is Kind.NO_RIGHT
    assert f"{TOKEN} lacks VM.Migrate on /vms/100" in fault.value.why
    assert "PVEVMAdmin" in fault.value.next
    assert f"pveum acl modify /vms/100 --tokens '{TOKEN}'" in fault.value.next


@pytest.mark.parametrize("body", [b"<html>portal</html>", b"", b'{"hello": 1}', b"[1]"])
def test_an_answer_that_is_no_proxmox_json_is_told_as_such(door, open_client, body):
    door.script["GET /version"] = Say(raw=body)
    with pytest.raises(SiteUnreachable, match="not as a Proxmox VE API does"):
        open_client(door.port).get("/version")


def test_a_page_that_sends_elsewhere_is_no_answer(door, open_client):
    door.script["GET /version"] = Say(status=301, text="Moved")
    with pytest.raises(SiteUnreachable, match="301 Moved"):
        open_client(door.port).get("/version")


def test_the_endpoints_clock_is_read_off_its_answers(door, open_client, clock):
    door.script["GET /version"] = Say({})
    client = open_client(door.port)
    assert client.clock_offset_s == 0.0
    client.get("/version")
    assert abs(client.clock_offset_s) <= 1.0
    door.date = "Sat, 15 Aug 2026 04:00:00 GMT"
    client.get("/version")
    assert client.clock_offset_s == pytest.approx(1786766400.5 - clock.now_s(), abs=1.0)


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_is_waited_for(door, open_client, clock):
    door.script["POST /nodes/pve1/qemu/100/status/start"] = Say(UPID)
    running = Say({"status": "running"})
    door.script[STATUS] = [running, running, Say({"status": "stopped", "exitstatus": "OK"})]
    end = open_client(door.port).run("start", "POST", "/nodes/pve1/qemu/100/status/start", within_s=60)
    assert (end.status, end.warnings) == ("OK", ())
    assert clock.slept == [0.1, 0.1]


def test_a_task_that_ended_with_warnings_is_done_and_the_warnings_are_told(door, open_client, said):
    door.script[STATUS] = Say({"status": "stopped", "exitstatus": "WARNINGS: 1"})
    door.script[LOG] = Say([{"n": 1, "t": "starting"}, {"n": 2, "t": "WARN: old machine type"}, {"n": 3, "t": "done"}])
    end = open_client(door.port).await_task("start gestionale", UPID, within_s=60)
    assert end.warnings == ("WARN: old machine type",)
    assert end.log_tail[-1] == "done"
    assert said == ["start gestionale: ended with warnings: 1: WARN: old machine type"]


def test_a_stopped_task_is_not_a_good_one(door, open_client):
    door.script[STATUS] = Say({"status": "stopped", "exitstatus": "start failed: no space left on device"})
    door.script[LOG] = Say([])
    with pytest.raises(VendorFault, match="no space left") as fault:
        open_client(door.port).await_task("start", UPID, within_s=60)
    assert (fault.value.kind, fault.value.is_answer_lost) == (Kind.STORAGE_FULL, False)


@pytest.mark.parametrize("hindrance", [Say(status=595, text="No route to host"), Say(status=596, text="timeout"),
                                       Say(status=500, text="unable to read tail (got 0 bytes)"), Say(status=404, text="no such task"),
                                       Say(drop=True)])  # fmt: skip
def test_a_task_that_cannot_be_seen_for_a_while_is_still_waited_for(door, open_client, hindrance):
    door.script["GET /cluster/status"] = Say([{"type": "node", "name": "pve1", "online": 1}])
    door.script[STATUS] = [*[hindrance] * 9, Say({"status": "stopped", "exitstatus": "OK"})]
    assert open_client(door.port).await_task("start", UPID, within_s=600).status == "OK"


def test_a_task_on_a_node_that_died_is_a_lost_answer_long_before_its_time_is_up(door, open_client, clock):
    door.script[STATUS] = Say(status=595, text="No route to host")
    door.script["GET /cluster/status"] = Say([{"type": "node", "name": "pve1", "online": 0}])
    with pytest.raises(ProviderFault, match="left the cluster") as lost:
        open_client(door.port).await_task("clone", UPID, within_s=7200)
    assert lost.value.is_answer_lost
    assert clock.turned_s < 60


def test_a_task_that_does_not_end_in_time_is_left_running(door, open_client, said):
    door.script[STATUS] = Say({"status": "running"})
    with pytest.raises(ProviderFault, match="did not end within 90 s") as lost:
        open_client(door.port).await_task("clone", UPID, within_s=90)
    assert lost.value.is_answer_lost
    assert UPID in lost.value.why
    assert any("still running" in line for line in said)


@pytest.mark.parametrize(
    ("elapsed_s", "pause_s"), [(0, 0.1), (0.9, 0.1), (5, 0.5), (60, 1.0), (119, 1.0), (120, 5.0), (3600, 5.0)]
)
def test_looks_at_a_task_grow_rare(elapsed_s, pause_s):
    assert poll_s(elapsed_s) == pause_s


def test_a_call_that_starts_no_task_is_done(door, open_client):
    door.script["PUT /nodes/pve1/qemu/100/config"] = Say(None)
    assert open_client(door.port).run("set", "PUT", "/nodes/pve1/qemu/100/config", within_s=5).status == "OK"


# --- tickets ---------------------------------------------------------------------------------------------------------

PASSWORD = {"api_token_id": None, "api_token_secret": None, "api_user": "root@pam", "api_password": "s3cret-of-luca"}
TICKET = "PVE:root@pam:66BE0000::c2lnbmF0dXJl"


def ticket(text=TICKET):
    return Say({"ticket": text, "CSRFPreventionToken": "66BE0000:csrf", "username": "root@pam"})


def test_a_password_gets_a_ticket_at_first_use_and_only_writes_carry_the_second_token(door, open_client):
    door.script["POST /access/ticket"] = ticket()
    door.script["GET /version"] = door.script["POST /x"] = Say({})
    client = open_client(door.port, **PASSWORD)
    client.get("/version")
    client.send("POST", "/x")
    login, read, write = door.log
    assert login.params == {"username": "root@pam", "password": "s3cret-of-luca"}
    assert read.headers["cookie"] == write.headers["cookie"] == f"PVEAuthCookie={TICKET}"
    assert "csrfpreventiontoken" not in read.headers
    assert write.headers["csrfpreventiontoken"] == "66BE0000:csrf"


def test_a_ticket_is_renewed_before_it_dies(door, open_client, clock):
    door.script["POST /access/ticket"] = ticket()
    door.script["GET /version"] = Say({})
    client = open_client(door.port, **PASSWORD)
    client.get("/version")
    clock.turned_s += 5300
    client.get("/version")
    assert client.account.logins == 1
    clock.turned_s += 200
    client.get("/version")
    assert client.account.logins == 2


def test_a_session_that_ended_is_opened_again_once_also_for_a_write(door, open_client):
    door.script["POST /access/ticket"] = [ticket("PVE:root@pam:66BE0000::old"), ticket("PVE:root@pam:66BE0001::new")]
    door.script["POST /x"] = lambda asked: (
        Say("done")
        if "new" in asked.headers["cookie"]
        else Say(status=401, text="permission denied - invalid PVE ticket")
    )
    assert open_client(door.port, **PASSWORD).send("POST", "/x") == "done"
    assert door.asked("POST") == ["/access/ticket", "/x", "/access/ticket", "/x"]


def test_a_second_refusal_after_a_fresh_login_is_the_last(door, open_client):
    door.script["POST /access/ticket"] = ticket()
    door.script["GET /version"] = Say(status=401, text="No ticket")
    with pytest.raises(BadInput, match="No ticket"):
        open_client(door.port, **PASSWORD).get("/version")
    assert len(door.log) == 4


def test_a_login_that_was_cut_off_is_no_lost_answer_of_the_write_behind_it(door, open_client):
    door.script["POST /access/ticket"] = Say(drop=True)
    with pytest.raises(SiteUnreachable):
        open_client(door.port, **PASSWORD).send("POST", "/x")


def test_a_second_factor_is_told(door, open_client):
    door.script["POST /access/ticket"] = Say({"ticket": "PVE:!tfa!x:66BE0000::y", "NeedTFA": 1})
    with pytest.raises(BadInput, match="second factor") as refused:
        open_client(door.port, **PASSWORD).get("/version")
    assert "API token" in refused.value.next
