#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_fence
version_added: 0.1.0
short_description: Fence or unfence the production copy of a VM
description:
  - Fencing powers the production copy off, disconnects its NICs, turns its autostart and HA off and stamps it, each
    read back, and returns the proof.
  - When its hypervisor does not answer, only an independent witness that the machine has no power is proof;
    otherwise a person must accept the risk with a reason. Silence is not proof.
  - Unfencing restores NICs, autostart, HA and power as they were; refused while the replica is powered on.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  state:
    description: Desired state.
    type: str
    choices: [fenced, unfenced]
    default: fenced

  policy:
    description: Policy with its C(deadlines), in the form of the inventory variable C(dr_policy).
    type: dict
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
- name: Refuse to recover while the original may be running
  ferragosto.dr.vm_fence:
    site: "{{ dr_site }}"
    vm: gestionale
    replica:
      name: gestionale_replica
    state: fenced
  delegate_to: localhost
"""

RETURN = r"""
proof:
  description: What proves that the production copy cannot serve; its kind and the detail.
  returned: when O(state=fenced)
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.acts import fence


def main() -> None:
    run(
        spec(
            state={"type": "str", "choices": ["fenced", "unfenced"], "default": "fenced"},
            accept={"type": "dict"},
            policy={"type": "dict"},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    return fence(session, session.params)


if __name__ == "__main__":
    main()
