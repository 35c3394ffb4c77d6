# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transcripts of many sites: one after the other, for a person who watches, and told where something is missing."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, Progress, Transcript
from ansible_collections.ferragosto.dr.plugins.module_utils.options import as_site
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.registry import open_recorder

Row: t.TypeAlias = "dict[str, t.Any]"


def record_sites(
    sites: Sequence[Mapping[str, t.Any]],
    vms: Sequence[str],
    *,
    is_masked: bool,
    asks_what_if: bool,
    clock: Clock,
    progress: Progress,
) -> list[Row]:
    """Record every host of every site. Raises SiteUnreachable when none answered, BadInput for a VM that no host has."""
    recorders = [open_recorder(as_site(site), clock=clock, progress=progress) for site in sites]
    found: list[Transcript] = []
    try:
        for recorder in recorders:
            found += recorder.record(vms, is_masked=is_masked, asks_what_if=asks_what_if)
    finally:
        for recorder in recorders:
            recorder.close()
    errors = [one.error for one in found if one.error]
    if found and len(errors) == len(found):
        raise SiteUnreachable(
            what="record transcripts",
            why="; ".join(errors),
            next="no host could be read to its end: correct what is said, then run the same command again",
        )
    seen = {name.casefold() for one in found for name in one.vms}
    missing = [name for name in vms if name.casefold() not in seen]
    if missing and not errors:
        raise BadInput(
            what="record transcripts",
            why=f"no host shows a VM named {', '.join(missing)}",
            next="correct 'vms' (dr_vm in the inventory), or check what the account may see",
        )
    return [_row(one) for one in found]


def _row(one: Transcript) -> Row:
    name = re.sub(r"[^\w.-]+", "-", f"{one.site}-{one.end}").strip("-.")
    return {"file": f"{name}.json", "end": one.end, "error": one.error, "transcript": dict(one.body)}
