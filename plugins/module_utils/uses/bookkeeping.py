# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening, annotating and closing the run of a VM."""

from __future__ import annotations

import getpass
import typing as t
from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core import ids, message, runs, summary, ways, words
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.keeper import LeaseKeeper
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session

Params: t.TypeAlias = Mapping[str, t.Any]
Result: t.TypeAlias = "dict[str, t.Any]"

# What of the card is kept with the decision: enough to read the run months later, nothing that grows with the site.
_KEPT = ("state", "verdict", "blast", "loss", "decision", "fault_at_s", "read_at_s", "production_id", "replica_id")


def book(session: Session, params: Params) -> Result:
    """Do what ``state`` says. In check mode nothing is written and no lease is taken."""
    if params["state"] == "open":
        return _open(session, params)
    if session.is_check:
        run = session.run()
        return _plain("check" if run is None else run.run_id, changed=True)
    keeper = LeaseKeeper(session.journal, session.vm_key, session.owner, clock=session.clock, progress=session.progress)
    keeper.take()
    is_over = params["state"] in ("stopped", "closed")
    try:
        run = session.run()
        if run is None:
            raise BadInput(
                what=f"write to the run of {params['vm']}",
                why="no run is open",
                next="open one with state: open",
            )
        return _write(session, params, run)
    finally:
        keeper.end(release=is_over)


def _open(session: Session, params: Params) -> Result:
    if session.is_check:
        run = session.run()
        return {**_plain("check" if run is None else run.run_id, changed=run is None), **_resumed(run)}
    keeper = LeaseKeeper(session.journal, session.vm_key, session.owner, clock=session.clock, progress=session.progress)
    keeper.take()
    try:
        run = session.run()
        if run is not None and run.op == params["op"]:
            body = {"by": _who(session), "after_step": run.last_step, **_contract(params)}
            session.journal.append(session.vm_key, run.run_id, "run_resumed", body)
            session.progress(f"continuing run {run.run_id}, {_where(run)}")
            return {**_plain(run.run_id, changed=True), **_resumed(run)}
        if run is not None and params["op"] == "recover":
            raise Refused(
                what=f"recover {params['vm']}",
                why=f"its {run.op} {run.run_id} is not finished, {_where(run)}",
                next=f"start the {run.op} playbook again: it continues",
            )
        return _new(session, params, run)
    finally:
        keeper.end(release=False)


def _new(session: Session, params: Params, unfinished: runs.Run | None) -> Result:
    now_s = session.clock.now_s()
    run_id = ids.new_run_id(now_s)
    body: dict[str, t.Any] = {
        "op": params["op"],
        "alert_at_s": words.alert_at(params["alert_at"], now_s=now_s),
        "by": _who(session),
        **_contract(params),
    }
    if unfinished is not None:
        body["undoes"] = unfinished.run_id
        body |= {"production_id": unfinished.production_id, "replica_id": unfinished.replica_id}
    session.journal.append(session.vm_key, run_id, "run_opened", body)
    session.run()
    session.progress(f"run {run_id} opened")
    return {**_plain(run_id, changed=True), **_resumed(None)}


def _contract(params: Params) -> dict[str, t.Any]:
    if not params["contract"]:
        return {}
    contract = words.contract(params["contract"])
    return {"rto_s": contract.rto_s, "rpo_s": contract.rpo_s, "rto_from": contract.rto_from}


def _write(session: Session, params: Params, run: runs.Run) -> Result:
    kind, body, more = _entry(session, params, run)
    accept = words.accept(params["accept"])
    if params["state"] == "decided":
        known = {(consent.kind, consent.reason) for consent in run.consents}
        for name, reason in accept.given().items():
            if (name, reason) not in known:
                consent = {"kind": name, "reason": reason, "by": _who(session)}
                session.journal.append(session.vm_key, run.run_id, "consent", consent)
    if kind is not None:
        session.journal.append(session.vm_key, run.run_id, kind, body)
    if params["state"] == "closed":
        more = _closed(session, params, run)
    return {**_plain(run.run_id, changed=True), **more}


def _entry(session: Session, params: Params, run: runs.Run) -> tuple[str | None, dict[str, t.Any], Result]:
    match params["state"]:
        case "decided":
            card = params["card"]
            return "decided", {key: card[key] for key in _KEPT if key in card}, {}
        case "verified":
            service = params["service"]
            return "verified", {"where": params["where"], **service}, {}
        case "recorded":
            kind = "consent" if params["kind"] in ("consent", "job_disabled") else params["kind"]
            body = {"kind": params["kind"], "reason": params["why"], "by": _who(session)}
            return kind, body, {}
        case "closed" if params["outcome"] == "refused" and run.has_acted:
            # A copy has changed its role already: only a recovery, an undo or a commit may end this run.
            return "run_stopped", {"outcome": "interrupted", "why": params["why"], "step": run.last_step}, {}
        case "stopped" if run.op != "recover" and not run.has_acted:
            # Nothing was touched: an undo that was refused must not stand in the way of a recovery.
            return "run_closed", {"outcome": "refused", "why": params["why"]}, {}
        case "stopped":
            body = {"outcome": params["outcome"], "why": params["why"], "step": run.last_step}
            return "run_stopped", body, {}
        case _:
            return "run_closed", {"outcome": params["outcome"], "why": params["why"]}, {}


def _closed(session: Session, params: Params, run: runs.Run) -> Result:
    records = session.journal.records(vm_key=session.vm_key, run_id=run.run_id)
    found = summary.summary(records, run.run_id, now_s=session.clock.now_s())
    # Undo and commit are the technician's business: the customer was told when his service came back.
    text = _message(params, found) if params["outcome"] in message.OUTCOMES else ""
    if text and params["outcome"] not in ("healthy", "refused"):  # there is nothing to tell him then
        session.progress.show(text)
    return {"summary": found, "message": text, "line": summary.line(found)}


def _message(params: Params, found: Mapping[str, t.Any]) -> str:
    point = found["point"]
    closing = message.Closing(
        vm=params["vm"],
        outcome=params["outcome"],
        marks=found["marks"],
        point_at_s=None if point is None else float(point["created_at_s"]),
        production_host=params["site"]["production"]["node"],
        replica_host=params["site"]["replica"]["node"],
        is_job_disabled=any(consent["kind"] == "job_disabled" for consent in found["consents"]),
        # Without this consent nothing goes over the original's disks, and with it whatever goes home does.
        is_original_kept=params["outcome"] != "recovered_home"
        or all(consent["kind"] != "original_overwritten" for consent in found["consents"])
        or (point or {}).get("way") not in ways.OVERWRITING,
    )
    contract = words.Contract(
        rto_s=float(found["rto_target_s"] or 0.0),
        rpo_s=float(found["rpo_target_s"] or 0.0),
        rto_from=found["rto_from"],
    )
    written = message.customer_message(closing, words.client(params["client"]), contract)
    return f"{written.subject}\n\n{written.body}"


def _resumed(run: runs.Run | None) -> Result:
    if run is None:
        return {"is_resumed": False, "resumed_after": "", "resumed_phases": []}
    return {"is_resumed": True, "resumed_after": run.last_step, "resumed_phases": sorted(run.phases)}


def _plain(run_id: str, *, changed: bool) -> Result:
    # The journal's own state is no state of the VM: these stay empty where a changing module would fill them.
    return {"changed": changed, "run_id": run_id, "calls": [], "steps": []}


def _where(run: runs.Run) -> str:
    if run.dangling is not None:
        return f"interrupted in {run.dangling.step!r} ({run.dangling.phase})"
    return f"interrupted after {run.last_step!r}" if run.last_step else "interrupted before its first step"


def _who(session: Session) -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{session.owner.host.split('/')[0]}"
