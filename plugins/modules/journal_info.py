#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journal_info
version_added: 0.1.0
short_description: Read the journal
description:
  - Returns runs with their timeline and clock, who holds a lease, and whether the chain of records is intact.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  vm:
    description: Only this VM; needs O(site).
    type: str
  run_id:
    description: Only this run.
    type: str
  limit:
    description: At most so many of the newest records.
    type: int
    default: 1000
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site_optional
  - ferragosto.dr.common.attributes_info
"""

EXAMPLES = r"""
- name: See what the last recovery did
  ferragosto.dr.journal_info:
    site: "{{ dr_site }}"
    vm: gestionale
  delegate_to: localhost
  register: history
"""

RETURN = r"""
records:
  description: Records, oldest first.
  returned: success
  type: list
  elements: dict
runs:
  description: Runs of the VM with outcome, marks T0 to T13, achieved RTO and RPO, and steps with times.
  returned: success
  type: list
  elements: dict
chain:
  description: Whether the chain is intact, and where it breaks.
  returned: success
  type: dict
lease:
  description: Who works on the VM now; null when nobody.
  returned: success
  type: dict
duration_s:
  description: How long the module worked, in seconds.
  returned: always
  type: float
progress:
  description: The progress lines, as evidence.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.ferragosto.dr.plugins.module_utils.module import run, spec
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.history import history


def main() -> None:
    run(
        spec(
            has_vm=False,
            is_site_required=False,
            vm={"type": "str"},
            run_id={"type": "str"},
            limit={"type": "int", "default": 1000},
        ),
        act,
        Session,
        required_by={"vm": ("site",)},
    )


def act(session: Session) -> dict[str, object]:
    return history(session, session.params)


if __name__ == "__main__":
    main()
