# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The 15 August story, end to end: a lab of Luca's site, an alert, and the real playbook against the lab.

``make demo`` runs it. It ends by writing build/demo/outcome.json, from the journal and from what the lab's world saw, and
exits 0 only if the service answered from the production host.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import typing as t
import urllib.request
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab, LabImpossible
from ansible_collections.ferragosto.dr.extensions.twin.labs import LABS, lab_of
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.plugins.module_utils.core import ids
from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import iso
from ansible_collections.ferragosto.dr.plugins.module_utils.core.summary import summary
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock

CLIENT = Path("clients/luca")
HOST = "gestionale.luca"
OUT = Path("build/demo")
LIMIT_S = 300.0
TIMING = Timing(boot_s=1.2, crash_after_s=0.6, relocate_s=1.5)  # long enough to be seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description="Play the 15 August story.")
    parser.add_argument("--provider", default="proxmox", choices=sorted(LABS))
    given = parser.parse_args()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    try:
        with lab_of(given.provider).start(CLIENT, timing=TIMING, state_dir=OUT / "lab") as lab:
            return play(lab, given.provider)
    except LabImpossible as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 2


def play(lab: Lab, provider: str) -> int:
    """Break the VM, sound the alert, run the playbook, and judge the end from outside."""
    vm = lab.control.begin_story()
    alert_at_s = time.time()
    print(f"\n15 August. The phone rings: the server {vm!r} of Luca's company is Offline.\n", flush=True)
    journal_url = f"sqlite:///{(OUT / 'journal.sqlite').resolve()}"
    ended = recover(lab, alert_at_s, journal_url)
    page = ask(lab)
    outcome = conclude(lab, provider, vm, journal_url, page)
    (OUT / "outcome.json").write_text(json.dumps(outcome, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(say(outcome, page), flush=True)
    for error in lab.simulator_errors:
        print(f"demo: the twin failed: {error}", file=sys.stderr)
    is_good = ended == 0 and outcome["outcome"] == "recovered_home" and outcome["home"] and not lab.simulator_errors
    return 0 if is_good and not outcome["split_brain_seen"] else 1


def recover(lab: Lab, alert_at_s: float, journal_url: str) -> int:
    """Run the technician's one command."""
    command = ["ansible-playbook", "ferragosto.dr.recover", "-i", str(CLIENT), "-i", str(lab.overlay_path)]
    command += ["--limit", HOST]
    said = lab.technician_says()
    command += ["-e", json.dumps(said)] if said else []
    print(f"$ {shlex.join(command)}", flush=True)
    extra = json.dumps({"dr_alert_at": alert_at_s, "dr_journal": journal_url})
    environment = {**os.environ, "ANSIBLE_NOCOWS": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false"}
    return subprocess.run([*command, "-e", extra], env=environment, timeout=LIMIT_S, check=False).returncode


def ask(lab: Lab) -> dict[str, t.Any]:
    """Ask the service as a customer would, apart from the playbook; {} when nothing answers."""
    (group,) = overlay.read(lab.overlay_path).values()
    checks = group["hosts"][HOST]["dr_checks"]
    url = next(check["http"] for check in checks if "http" in check)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            page: dict[str, t.Any] = json.load(answer)
            return page
    except OSError:
        return {}


def conclude(lab: Lab, provider: str, vm: str, journal_url: str, page: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Gather the outcome: what the journal says, and what the world saw."""
    journal = open_journal(journal_url, clock=SystemClock(), read_only=True)
    try:
        records = journal.records(vm_key=ids.vm_key(lab.wish.name, vm))
    finally:
        journal.close()
    opened = [record.run_id for record in records if record.kind == "run_opened"]
    run_id = opened[-1] if opened else ""
    found = summary([r for r in records if r.run_id == run_id], run_id, now_s=time.time())
    return {
        "outcome": found.get("outcome", "failed"),
        "vm": vm,
        "provider": provider,
        "rto_achieved_s": found.get("rto_achieved_s"),
        "rto_target_s": found.get("rto_target_s"),
        "point": found.get("point"),
        "rpo_achieved_s": found.get("rpo_achieved_s"),
        "home": page.get("host") == lab.wish.production.node,
        "steps": found.get("steps", []),
        "marks": found.get("marks", {}),
        "split_brain_seen": bool(lab.control.violations()),
        "run_id": run_id,
    }


def say(outcome: t.Mapping[str, t.Any], page: t.Mapping[str, t.Any]) -> str:
    """Say the end in three lines."""
    if not page:
        return (
            f"\n{outcome['vm']}: the service does not answer. Outcome: {outcome['outcome']}. See {OUT / 'outcome.json'}"
        )
    point = outcome["point"] or {}
    as_of = f"with the data of {iso(point['created_at_s'])}" if point else "with its own data"
    rto, target = outcome["rto_achieved_s"], outcome["rto_target_s"]
    return (
        f"\n{outcome['vm']} is Online: answered by {page.get('copy_name')} on {page.get('host')},"
        f" {as_of}.\n"
        f"Outcome {outcome['outcome']}; RTO {rto} s of {target} s; split brain seen: {outcome['split_brain_seen']}.\n"
        f"Written: {OUT / 'outcome.json'}"
    )


if __name__ == "__main__":
    sys.exit(main())
