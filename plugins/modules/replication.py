#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replication
short_description: Bring the platform's own replication of a protected VM into a state
version_added: 0.2.0
author:
  - The ferragosto.dr contributors (@ferragosto)
description:
  - Drives the replication that the platform runs itself (Proxmox VE's storage replication, Hyper-V Replica). Where another product
    replicates, the module refuses; C(dr_policy.job_hook) is the place for such a job.
  - A promotion sees to it that the replication cannot undo it, and a recovery reprotects the VM at its end; this module is for single
    steps and for the customer who decides later.
  - No order of calls lets a replication run overwrite good data with bad. What would overwrite the original's disks is refused
    without O(accept) with C(original_overwritten).
options:
  state:
    description:
      - V(enabled) and V(disabled) switch the job and wait until no run is under way. On Hyper-V they resume and suspend; V(enabled)
        resynchronises where the state asks for it.
      - V(synced) lets the job run once now and waits for its end; on Hyper-V it waits for the next cycle, which nobody can hasten.
      - V(reversed) makes the promoted copy the source and the other host the target, and waits for the first sync. A copy
        promoted in place, or by Hyper-V's failover, overwrites the original's disks by this; a clone gets a job of its own, and
        the original stays.
    type: str
    choices: [enabled, disabled, reversed, synced]
    required: true
  policy:
    description: Policy with its C(deadlines), in the form of the inventory variable C(dr_policy).
    type: dict
  accept:
    description:
      - A person's consents with their reasons, in the form of the inventory variable C(dr_accept). Here
        C(original_overwritten) is the one that counts.
    type: dict
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_act
"""

EXAMPLES = r"""
- name: Make the copy that serves the source of the replication
  ferragosto.dr.replication:
    site: "{{ dr_site }}"
    vm: gestionale
    state: reversed
    accept:
      original_overwritten: "Luca has his evidence, Anna, 09:30"
  delegate_to: localhost
"""

RETURN = r"""
replication:
  description: The job as the platform shows it afterwards, V(null) where there is none.
  returned: success
  type: dict
calls:
  description: The calls made; in check mode the calls that would be made.
  returned: success
  type: list
  elements: str
steps:
  description: Every step with what was seen before and after.
  returned: success
  type: list
  elements: dict
state:
  description: State of the protected VM before and after.
  returned: success
  type: dict
  contains:
    before:
      description: State before.
      type: str
    after:
      description: State after; in check mode the same.
      type: str
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.acts import replication


def main() -> None:
    run(
        spec(
            state={"type": "str", "choices": ["enabled", "disabled", "reversed", "synced"], "required": True},
            policy={"type": "dict"},
            accept={"type": "dict"},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    return replication(session, session.params)


if __name__ == "__main__":
    main()
