#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replica
version_added: 0.1.0
short_description: Bring the replica of a VM into a desired state
description:
  - V(failover) promotes the replica at the chosen recovery point, once the production copy is proven fenced. A
    protective point of its current state is made first (on Hyper-V its failover can be cancelled instead), the vendor's points stay,
    its NICs are connected only after the guest was seen alive.
  - V(ready) undoes a failover; replica and production copy return to their exact former state. What the replica
    wrote meanwhile is discarded.
  - V(committed) makes a failover permanent. Only then our own protective point is removed; on Hyper-V the replica's other
    recovery points go.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  state:
    description: Desired state of the replica.
    type: str
    choices: [ready, failover, committed]
    required: true
  recovery_point:
    description:
      - "Which point to promote: V(latest), an id as M(ferragosto.dr.replica_info) returns it, or a time (ISO 8601), meaning the newest point before it."
      - A run that has chosen its point keeps it when it is resumed.
    type: str
    default: latest
  contract:
    description: RTO and RPO, in the form of the inventory variable C(dr_contract).
    type: dict
  policy:
    description: Policy, in the form of the inventory variable C(dr_policy).
    type: dict
  job_disabled:
    description: Who disabled the vendor's replication job and when; O(accept) with C(job_disabled) says the same.
    type: str
  promoted_id:
    description: Id of the VM that a promotion makes, where the platform makes one (Proxmox VE); by default the next free one. Refused on Hyper-V.
    type: str
  fault_at:
    description: When the fault began, in seconds since the epoch, to measure the data that is lost. By default now.
    type: float

  accept:
    description: A person's consents with their reasons, in the form of the inventory variable C(dr_accept).
    type: dict
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_act
"""

EXAMPLES = r"""
- name: Promote the replica at its newest point
  ferragosto.dr.replica:
    site: "{{ dr_site }}"
    vm: gestionale
    replica:
      name: gestionale_replica
    state: failover
    contract:
      rto: 30m
      rpo: 24h
    accept:
      job_disabled: "Nightly job disabled in the console, 04:12, Anna"
  delegate_to: localhost
"""

RETURN = r"""
point:
  description: The recovery point used and what it loses.
  returned: when O(state=failover)
  type: dict
proof:
  description: What proves that the production copy is fenced; null when the promotion was already done.
  returned: when O(state=failover)
  type: dict
copy:
  description: The replica as it is now, with its platform id and host.
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.acts import replica


def main() -> None:
    run(
        spec(
            state={"type": "str", "choices": ["ready", "failover", "committed"], "required": True},
            recovery_point={"type": "str", "default": "latest"},
            contract={"type": "dict"},
            policy={"type": "dict"},
            job_disabled={"type": "str"},
            promoted_id={"type": "str"},
            fault_at={"type": "float"},
            accept={"type": "dict"},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    return replica(session, session.params)


if __name__ == "__main__":
    main()
