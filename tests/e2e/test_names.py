# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that a shell, a template or a URL would trip over."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench

ODD = 'L\'"Über" {{ 7 * 7 }} {# no #} склад 倉庫'


def test_name_with_quotes_braces_and_foreign_letters_recovers_home_with_its_replication_job_disabled(
    bench: Bench,
) -> None:
    assert bench.lab.world.copy_of(ODD, "production").name == ODD
    bench.control.corrupt(ODD, since_s=7200)
    ended = bench.play("recover", limit="odd.clinic", extra={"dr_policy": bench.policy(migrate_home="auto")})
    assert ended.rc == 0, ended.text
    assert ended.outcome("odd.clinic").startswith("recovered_home")
    assert bench.serving(ODD) == "replica"
    assert bench.copy(ODD, "replica")["host"] == "esx1.clinic.example"
    assert bench.copy(ODD, "replica")["name"] == f"{ODD}_replica", "nothing is renamed"
    assert bench.run(ODD)["outcome"] == "recovered_home"
    assert ODD in ended.said, "the name is shown as it is"

    # tonight's job does not run, because the hook came before the promotion, and for this VM alone
    assert not bench.control.run_job(ODD)
    assert bench.control.accidents() == []
    consents = {c["kind"]: c["reason"] for c in bench.run(ODD)["consents"]}
    assert consents["job_disabled"] == "by the hook disable_replication_job.yml"
    kinds = [(r.kind, r.body.get("kind") or r.body.get("phase")) for r in bench.records(ODD)]
    assert kinds.index(("consent", "job_disabled")) < kinds.index(("intent", "promote"))
    assert bench.lab.world.jobs["spare"].is_enabled
