# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owner of two hosts records what they answer: one file per host, nothing changed, and the comparer takes it."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import compare
from ansible_collections.ferragosto.dr.tests import documents
from ansible_collections.ferragosto.dr.tests.documents import ROOT
from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench


def test_verify_writes_a_file_per_host_that_agrees_with_the_twin(hv: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    folder = hv.folder / "transcripts"
    ended = hv.play("verify", limit="solo.clinic", extra={"verify_folder": str(folder)})

    assert ended.rc == 0, ended.text
    assert hv.changing_calls() == {}
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["clinic-production.json", "clinic-replica.json"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    assert hv.lab.password not in text
    assert "solo" not in json.dumps([json.loads(path.read_text(encoding="utf-8"))["answers"] for path in files])
    assert compare.main([str(path) for path in files]) == 0, capsys.readouterr().out


def test_the_example_of_the_module_records_what_it_says(hv: Bench) -> None:
    (example,) = documents.examples(ROOT / "plugins/modules/transcript_info.py")
    given: dict[str, t.Any] = example["ferragosto.dr.transcript_info"]
    assert set(given) == {"site", "vms"}

    recorded = hv.done("transcript_info", vms=["solo"], masked=False)["transcripts"]

    assert [(row["end"], row["error"]) for row in recorded] == [("production", ""), ("replica", "")]
    looked = [a for row in recorded for a in row["transcript"]["answers"] if a["script"] == "look at the guest"]
    assert len(looked) == 2
    assert hv.changing_calls() == {}


def test_a_vm_that_no_host_has_is_named(hv: Bench) -> None:
    failed = hv.module("transcript_info", vms=["solo", "nobody"])

    assert failed["failed"]
    assert "nobody" in failed["msg"]
    assert "solo" not in failed["msg"]


def test_a_platform_without_transcripts_is_refused_in_words(hv: Bench) -> None:
    failed = hv.module("transcript_info", site=hv.site() | {"provider": "proxmox"})

    assert failed["failed"]
    assert "proxmox has no transcripts" in failed["msg"]
    assert hv.control.calls() == {}
