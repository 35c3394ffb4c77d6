#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journal
version_added: 0.1.0
short_description: Open, annotate and close the run of a VM in the journal
description:
  - V(open) takes the lease of the VM and opens a run, or continues the open one and says where it was.
  - V(decided), V(verified) and V(recorded) append what was decided, what the service answered and what a person or
    a hook confirmed.
  - V(stopped) notes that the run failed and stays resumable; V(closed) ends it with its outcome, the measured RTO
    and RPO and the message for the customer.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  state:
    description: What to do.
    type: str
    choices: [open, decided, verified, recorded, stopped, closed]
    required: true
  op:
    description: Operation of the run; V(open) refuses to continue a run of another operation, except that undo and commit may end a recovery.
    type: str
    choices: [recover, undo, commit]
    default: recover
  alert_at:
    description: When the alert arrived (T2), ISO 8601 or seconds since the epoch. By default now.
    type: str
  contract:
    description: RTO and RPO, in the form of the inventory variable C(dr_contract).
    type: dict
  client:
    description: The client, in the form of the inventory variable C(dr_client), for the message.
    type: dict
  card:
    description: The decision card, with O(state=decided).
    type: dict
  service:
    description: What M(ferragosto.dr.service_info) returned, with O(state=verified).
    type: dict
  where:
    description: Which copy was verified, with O(state=verified).
    type: str
    choices: [production, replica, home]
  kind:
    description: What is recorded, with O(state=recorded).
    type: str
    choices: [consent, job_disabled, downtime_announced]
  why:
    description: The reason, in words.
    type: str
    default: ""
  outcome:
    description: How the run ended, with V(stopped) or V(closed).
    type: str
    choices: [healthy, restarted, recovered_home, recovered_on_replica, refused, interrupted, failed, undone, committed]

  accept:
    description: A person's consents with their reasons, in the form of the inventory variable C(dr_accept).
    type: dict
attributes:
  check_mode:
    support: full
    description: Writes no record and takes no lease.
  diff_mode:
    support: none
    description: Changes no VM; what it appends is returned by M(ferragosto.dr.journal_info).
  idempotent:
    support: none
    description: The journal is append-only; every call that is not a check appends.
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_act
"""

EXAMPLES = r"""
- name: Open or continue the run of this VM
  ferragosto.dr.journal:
    site: "{{ dr_site }}"
    vm: gestionale
    state: open
    op: recover
  delegate_to: localhost
  register: opened

- name: Write down that a person disabled the replication job
  ferragosto.dr.journal:
    site: "{{ dr_site }}"
    vm: gestionale
    state: recorded
    kind: job_disabled
    why: "Nightly job disabled in the console, 04:12, Anna"
  delegate_to: localhost

- name: Close the run, and get its figures and the message for the customer
  ferragosto.dr.journal:
    site: "{{ dr_site }}"
    vm: gestionale
    state: closed
    outcome: recovered_home
    client: "{{ dr_client }}"
  delegate_to: localhost
  register: closed
"""

RETURN = r"""
run_id:
  description: Id of the run.
  returned: success
  type: str
is_resumed:
  description: Whether an open run is continued.
  returned: when O(state=open)
  type: bool
resumed_after:
  description: The last step that the interrupted run wrote.
  returned: when O(state=open)
  type: str
resumed_phases:
  description: The phases of which the interrupted run had begun a step, such as V(fence) or V(migrate).
  returned: when O(state=open)
  type: list
  elements: str
summary:
  description: Outcome, marks T0 to T13, RTO and RPO achieved and promised, steps with times.
  returned: when O(state=closed)
  type: dict
line:
  description: How the run ended, in one line.
  returned: when O(state=closed)
  type: str
message:
  description: Message for the customer, in his language.
  returned: when O(state=closed)
  type: str
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.bookkeeping import book

OUTCOMES = [
    "healthy",
    "restarted",
    "recovered_home",
    "recovered_on_replica",
    "refused",
    "interrupted",
    "failed",
    "undone",
    "committed",
]


def main() -> None:
    run(
        spec(
            state={
                "type": "str",
                "choices": ["open", "decided", "verified", "recorded", "stopped", "closed"],
                "required": True,
            },
            op={"type": "str", "choices": ["recover", "undo", "commit"], "default": "recover"},
            alert_at={"type": "str"},
            contract={"type": "dict"},
            client={"type": "dict"},
            card={"type": "dict"},
            service={"type": "dict"},
            where={"type": "str", "choices": ["production", "replica", "home"]},
            kind={"type": "str", "choices": ["consent", "job_disabled", "downtime_announced"]},
            why={"type": "str", "default": ""},
            outcome={"type": "str", "choices": OUTCOMES},
            accept={"type": "dict"},
        ),
        act,
        Session,
        required_if=[
            ["state", "decided", ["card"]],
            ["state", "verified", ["service", "where"]],
            ["state", "recorded", ["kind", "why"]],
            ["state", "stopped", ["outcome", "why"]],
            ["state", "closed", ["outcome"]],
        ],
    )


def act(session: Session) -> dict[str, object]:
    return book(session, session.params)


if __name__ == "__main__":
    main()
