#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_plan_info
version_added: 0.1.0
short_description: Assess protected VMs and return their decision cards and waves
description:
  - Reads each site once, the journal once, and returns per VM the decision card (what is down and how wide,
    evidence, last change, what would be lost, time left, capacity, moves) and the plan in waves.
  - Refuses wrong variables, unknown VMs and cycles of dependencies by name, before anything is touched.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  is_deep:
    description: Whether to ask service checks and events of the VMs. V(false) is quicker and is meant for a status page.
    type: bool
    default: true
  show:
    description: What is shown live while the module runs, besides being returned.
    type: str
    choices: [cards, lines, nothing]
    default: nothing
  query:
    description: JMESPath expression applied to the returned cards; needs the Python library C(jmespath).
    type: str
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.plan
  - ferragosto.dr.common.attributes_info
"""

EXAMPLES = r"""
- name: Print the decision cards of the play
  ferragosto.dr.recovery_plan_info:
    vms: "{{ ansible_play_hosts | ferragosto.dr.protected_vms(hostvars) }}"
  run_once: true
  delegate_to: localhost
  register: plan
"""

RETURN = r"""
cards:
  description: Decision card per inventory host.
  returned: success
  type: dict
texts:
  description: The same cards as text for a person, per inventory host.
  returned: success
  type: dict
waves:
  description: Inventory hosts in the order of recovery; a wave starts when the one before is verified.
  returned: success
  type: list
  elements: list
wave_sizes:
  description: Sizes of the waves, for C(serial).
  returned: success
  type: list
  elements: int
lines:
  description: State of every VM in one line, per inventory host.
  returned: success
  type: dict
asked_at:
  description: When the question was asked, in seconds since the epoch.
  returned: success
  type: float
result:
  description: What O(query) selected.
  returned: when O(query) is given
  type: raw
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

from ansible_collections.ferragosto.dr.plugins.module_utils.module import plan_items_option, run, spec_without_site
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.assess import assess_plan


def main() -> None:
    run(
        spec_without_site(
            vms=plan_items_option(),
            is_deep={"type": "bool", "default": True},
            show={"type": "str", "choices": ["cards", "lines", "nothing"], "default": "nothing"},
            query={"type": "str"},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    params = session.params
    return assess_plan(session, params["vms"], is_deep=params["is_deep"], query=params["query"], show=params["show"])


if __name__ == "__main__":
    main()
