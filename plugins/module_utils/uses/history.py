# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the journal: runs with their clock, the chain, the lease."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ansible_collections.ferragosto.dr.plugins.module_utils.core import ids, summary
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session


def history(session: Session, params: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return records, runs, chain and lease; of one VM, of one run, or of the whole journal."""
    key = ids.vm_key(params["site"]["name"], params["vm"]) if params["vm"] else None
    records = session.journal.records(vm_key=key, run_id=params["run_id"], limit=params["limit"])
    lease = session.journal.lease(key) if key is not None else None
    return {
        "records": [_record(record) for record in records],
        "runs": [
            summary.summary([r for r in records if r.run_id == run_id], run_id, now_s=session.clock.now_s())
            for run_id in _run_ids(records)
        ],
        "chain": asdict(session.journal.verify()),
        "lease": None
        if lease is None
        else {"owner": f"process {lease.owner.pid} on {lease.owner.host}", "expires_at_s": lease.expires_at_s},
    }


def _record(record: Record) -> dict[str, t.Any]:
    return {
        "seq": record.seq,
        "at_s": record.at_s,
        "vm_key": record.vm_key,
        "run_id": record.run_id,
        "kind": record.kind,
        "body": dict(record.body),
        "hash": record.hash,
    }


def _run_ids(records: Sequence[Record]) -> list[str]:
    """Return the runs whose beginning is among the records, in order."""
    return [record.run_id for record in records if record.kind == "run_opened"]
