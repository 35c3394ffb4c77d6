# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transcripts: everything that is ever read is recorded, nothing is changed, nobody is named; and what the comparer makes of them."""

from __future__ import annotations

import copy
import functools
import json
import re
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import compare, processes
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, SiteSpec, Transcript
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.masking import HIDDEN
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.every import ALL
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.transcript import HypervRecorder
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.registry import open_recorder
from ansible_collections.ferragosto.dr.tests.unit.hyperv.fleet_kit import A, B, Bench

PASSWORD = "Vacanze-2026"
NAMES = ("gestionale", "hv1", "hv2", "luca", "LAN", "Anna", "10.1.2.3", "Hyper-V\\\\")


@pytest.fixture
def bench() -> Bench:
    """A VM that runs, with its replica; its owner wrote a note."""
    bench = Bench(host_b={"culture": "de-DE"})
    machine = bench.protect(addresses=("10.1.2.3",))
    machine.notes = f"Anna keeps it. Password: {PASSWORD}"
    past = bench.fleet.world.data_of(bench.fleet.copy(machine))
    bench.fleet.add_point(bench.replica_of(machine), age_s=3600.0, data=past)
    bench.fleet.add_point(machine, age_s=3600.0, data=past, kind="Standard", name="before the update")
    return bench


def record(bench: Bench, *vms: str, is_masked: bool = True, asks_what_if: bool = True) -> tuple[Transcript, ...]:
    ends = {host: replace(end, api_password=PASSWORD) for host, end in bench.ends.items()}

    def opens(end: EndpointSpec) -> Client:
        return Client(end, clock=bench.fleet, progress=bench.said.append, transport=bench.wires[end.api_host])

    spec = SiteSpec(name="luca", provider="hyperv", production=ends[A], replica=ends[B])
    recorder = HypervRecorder(spec, clock=bench.fleet, progress=bench.said.append, opens=opens)
    found = recorder.record(vms, is_masked=is_masked, asks_what_if=asks_what_if)
    assert bench.fleet.mishaps == []
    return tuple(found)


def bodies(bench: Bench, **more: t.Any) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Both transcripts as files would hold them."""
    first, second = (json.loads(json.dumps(dict(one.body))) for one in record(bench, **more))
    return first, second


def answers(body: dict[str, t.Any], script: str) -> list[dict[str, t.Any]]:
    return [one for one in body["answers"] if one["script"] == script]


# --- recording -------------------------------------------------------------------------------------------------------


def test_every_script_that_reads_is_recorded_and_no_other(bench):
    recorded = {name for body in bodies(bench) for name in body["scripts"]}

    assert recorded == {script.name for script in ALL if not script.shown}


def test_recording_changes_nothing(bench):
    def shown() -> str:
        return repr([(vars_of(m), vars_of(m.endpoint)) for m in bench.fleet.machines])

    def vars_of(one: object) -> list[tuple[str, object]]:
        return sorted((name, getattr(one, name)) for name in getattr(one, "__slots__", None) or vars(one))

    before = shown()
    record(bench)

    assert shown() == before


def test_an_answer_comes_with_all_that_is_needed_to_judge_it(bench):
    first, second = bodies(bench)

    for body, culture in ((first, "en-US"), (second, "de-DE")):
        console = answers(body, "read the console")[0]["data"]
        assert (console["windows"], console["ui_culture"]) == ("10.0.20348", culture)
        assert console["powershell"].startswith("5.1.")
        for one in body["answers"]:
            assert {"script", "sha256", "parameters", "took_s", "now"} <= set(one)
            assert ("data" in one) != ("error" in one)
            assert one["sha256"] == body["scripts"][one["script"]]["sha256"]


def test_an_error_is_recorded_with_its_id_its_category_and_its_words(bench):
    first, second = bodies(bench)
    english, german = (answers(body, "read the VM")[0]["error"] for body in (first, second))

    assert english["id"] == german["id"]
    assert english["category"] == german["category"] == "ObjectNotFound"
    assert "unable to find" in english["message"]
    assert "konnte keinen" in german["message"]


def test_the_questions_with_what_if_can_be_left_out(bench):
    first, second = bodies(bench, asks_what_if=False)

    for body in (first, second):
        assert not answers(body, "ask the host what it would refuse")
        assert not any(one["parameters"].get("is_tried") for one in body["answers"])


def test_only_the_vms_that_are_named_are_looked_at_closely(bench):
    bench.protect("archivio")

    seen = record(bench, "Archivio")[0].vms

    assert [name for name in seen if "-" not in name] == ["archivio"]


def test_a_host_that_does_not_answer_has_a_transcript_that_says_so(bench):
    bench.fleet.host_lost(A)

    first, second = record(bench)

    assert first.error
    assert first.body["answers"] == []
    assert second.error == ""
    assert second.vms


@pytest.mark.parametrize("provider", ["vsphere", "proxmox", "hyper-v"])
def test_a_provider_without_transcripts_is_refused_in_words(provider):
    end = EndpointSpec(api_host="x")
    spec = SiteSpec(name="luca", provider=provider, production=end, replica=end)

    with pytest.raises(BadInput, match=provider) as refused:
        open_recorder(spec, clock=t.cast("t.Any", None), progress=print)

    assert refused.value.next


# --- masking ---------------------------------------------------------------------------------------------------------


def test_nothing_that_names_a_customer_is_in_a_masked_transcript(bench):
    for body in bodies(bench):
        text = json.dumps({**body, "scripts": {}}, ensure_ascii=False)
        guids = {machine.key for machine in bench.fleet.machines}
        for word in (*NAMES, PASSWORD, *guids, *(guid.upper() for guid in guids)):
            assert not re.search(rf"(?<![A-Za-z]){re.escape(word)}", text), word


def test_a_short_name_is_hidden_in_a_sentence_and_no_word_is_torn(bench):
    bench.protect("Er")
    text = json.dumps([one.get("data") for one in answers(bodies(bench)[0], "look at the guest")])

    assert "'Er'" not in text
    assert "started successfully. (Virtual machine ID 0000" in text


def test_an_error_of_ours_names_neither_host_nor_account(bench):
    bench.says(A, api_user="anna.rossi")
    bench.fleet.host_lost(A)

    first, dummy = bodies(bench)

    assert "refuses" in first["error"]
    assert not any(word in first["error"] for word in (A, "anna"))


def test_a_stand_in_is_the_same_wherever_its_value_stands(bench):
    first, second = bodies(bench)
    here, there = (answers(body, "read the host")[0]["data"] for body in (first, second))

    assert here["vms"][0]["id"] == there["vms"][0]["id"]
    assert here["vms"][0]["name"] == there["vms"][0]["name"]
    assert here["vms"][0]["relation"]["replica"] == there["fqdn"]
    assert here["fqdn"] != there["fqdn"]


def test_what_says_nothing_of_a_customer_stays(bench):
    first, dummy = bodies(bench)
    site = answers(first, "read the host")[0]["data"]

    assert site["server"]["entries"] == ["*"]
    assert site["vms"][0]["relation"]["state"] == "Replicating"
    assert site["vms"][0]["points"][0]["type"] == "Standard"
    assert answers(first, "look at the screen")[0]["data"]["pixels"] == "<12800 characters>"


def test_unmasked_a_transcript_says_all_but_the_endpoints_secrets(bench):
    first, dummy = bodies(bench, is_masked=False)
    vm = answers(first, "read the host")[0]["data"]["vms"][0]

    assert vm["name"] == "gestionale"
    assert vm["notes"] == f"Anna keeps it. Password: {HIDDEN}"


# --- comparing -------------------------------------------------------------------------------------------------------


@functools.cache
def comparer() -> compare.Comparer:
    return compare.Comparer()


def compared(*transcripts: dict[str, t.Any]) -> list[compare.Report]:
    return [comparer().compare(one) for one in transcripts]


@pytest.mark.parametrize("is_masked", [True, False])
def test_a_transcript_of_the_twin_agrees_with_the_twin(bench, is_masked):
    first, second = compared(*bodies(bench, is_masked=is_masked))

    assert first.against == second.against == []
    assert "Start-VMFailover -Prepare #3" in first.confirmed
    assert "Start-VMFailover #1" in first.newly
    assert "Start-VMFailover -Prepare #1" in second.newly
    assert "Start-VMFailover #8" in second.let_through


@pytest.mark.parametrize("act", ["Start-VMFailover -VM $vm -Confirm:$false", "Suspend-VMReplication -VM $vm"])
def test_a_transcript_in_the_middle_of_things_agrees_too(bench, act):
    replica = bench.replica_of(bench.fleet.machines[0])
    processes.by_hand(bench.fleet, B, "x", f"$vm = Get-VM -Id '{replica.key}'\n{act}")

    first, second = compared(*bodies(bench))

    assert first.against == second.against == []
    assert "Stop-VMFailover #5" in second.let_through or "Suspend" in act


def test_an_account_without_rights_is_no_contradiction(bench):
    bench.fleet.host(A).rights["administrator"] = Rights.DENIED

    (report,) = compared(bodies(bench)[0])

    assert report.against == []
    assert any("PermissionDenied" in note for note in report.notes)


def doctored(body: dict[str, t.Any], script: str, *path: str | int, to: t.Any = None) -> dict[str, t.Any]:
    """A copy in which one value of a script's last answer is another; without ``to`` it is gone."""
    changed = copy.deepcopy(body)
    found: t.Any = answers(changed, script)[-1]
    for step in path[:-1]:
        found = found[step]
    if to is None:
        del found[path[-1]]
    else:
        found[path[-1]] = to
    return changed


SITE, WHAT_IF = "read the host", "ask the host what it would refuse"
VM = ("data", "vms", 0)


@pytest.mark.parametrize(
    ("script", "path", "to", "said"),
    [
        (SITE, (*VM, "uptime_s"), None, ".vms[].uptime_s is missing"),
        (SITE, (*VM, "uptime_s"), "1.02:03:04", ".vms[].uptime_s is text"),
        (SITE, (*VM, "relation", "last_at"), "08/15/2026 08:00:00", "relation.last_at is text"),
        (SITE, (*VM, "id"), "gestionale", ".vms[].id is text"),
        (SITE, (*VM, "name"), "", ".vms[].name is empty"),
        (SITE, (*VM, "cpus"), 0, ".vms[].cpus is 0"),
        (SITE, (*VM, "nics"), {"id": "x"}, ".vms[].nics is object"),
        (SITE, (*VM, "colour"), "blue", ".vms[].colour is nothing"),
        (SITE, (*VM, "state"), "Dozing", "'Dozing', which VMState does not have"),
        (SITE, (*VM, "relation", "state"), "Wartend", "which VMReplicationState does not have"),
        ("look at the screen", ("data", "pixels"), "<100 characters>", ".pixels are 100 characters"),
        (WHAT_IF, ("data", "answers", 0, "id"), "InvalidOperation,X", "Start-VMFailover -Prepare was refused"),
        (WHAT_IF, ("data", "answers", 0, "category"), "NotSpecified", "Start-VMFailover -Prepare #3"),
        (WHAT_IF, ("data", "answers", 3, "is_refused"), False, "Stop-VMFailover was let through"),
    ],
)
def test_what_differs_is_reported_with_its_place(bench, script, path, to, said):
    first, dummy = bodies(bench)

    (report,) = compared(doctored(first, script, *path, to=to))

    assert [text for text in report.against if said in text], report.against


def test_another_error_of_a_read_is_reported(bench):
    first, dummy = bodies(bench)
    answers(first, "read the VM")[0]["error"]["category"] = "InvalidArgument"

    (report,) = compared(first)

    assert [text for text in report.against if "(InvalidArgument); the twin refuses with ObjectNotFound," in text]


def test_the_exit_code_says_whether_the_twin_was_contradicted(bench, tmp_path, capsys):
    first, second = bodies(bench)
    clean, wrong, none = (tmp_path / name for name in ("clean.json", "wrong.json", "none.json"))
    clean.write_text(json.dumps(second), encoding="utf-8")
    wrong.write_text(json.dumps(doctored(first, SITE, *VM, "state", to="Dozing")), encoding="utf-8")
    first["scripts"][SITE]["text"] += "\n"
    none.write_text(json.dumps(first), encoding="utf-8")

    assert compare.main([str(clean)]) == 0
    assert compare.main([str(clean), str(wrong)]) == 1
    assert "AGAINST THE TWIN" in capsys.readouterr().out
    assert compare.main([str(none)]) == 2
    assert "its hash is another" in capsys.readouterr().err
