#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_power
version_added: 0.1.0
short_description: Bring the production copy of a VM into a power state, or restart it until its service answers
description:
  - Powers the production copy on or off, guest shutdown first and bounded.
  - With O(state=restarted) it restarts the VM up to O(attempts) times in this run, waits for the guest each time,
    asks the service and stops at the first answer.
  - Refuses to power on a copy that is fenced or whose replica is powered on.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  state:
    description: Desired power state; V(restarted) always acts unless the attempts of this run are used up.
    type: str
    choices: ["on", "off", "restarted"]
    required: true
  attempts:
    description: How many restarts one run may try.
    type: int
    default: 2
  timeout:
    description: Seconds to wait for the guest after each restart, and for its service.
    type: float
    default: 300.0
  shutdown_timeout:
    description: Seconds the guest gets for its own shutdown before power is cut. V(0) cuts at once.
    type: float
    default: 60.0

  checks:
    description: Checks of the service, in the form of the inventory variable C(dr_checks).
    type: list
    elements: dict
    default: []
  address:
    description: Address of the VM for checks that name only a port.
    type: str
    default: ""
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_act
"""

EXAMPLES = r"""
- name: Try to restart the VM twice
  ferragosto.dr.vm_power:
    site: "{{ dr_site }}"
    vm: gestionale
    replica:
      name: gestionale_replica
    state: restarted
    attempts: 2
  delegate_to: localhost
"""

RETURN = r"""
is_serving:
  description: Whether the service answered after a restart.
  returned: when O(state=restarted)
  type: bool
attempts:
  description: The restarts tried, with how each ended.
  returned: when O(state=restarted)
  type: list
  elements: dict
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.acts import power


def main() -> None:
    run(
        spec(
            state={"type": "str", "choices": ["on", "off", "restarted"], "required": True},
            attempts={"type": "int", "default": 2},
            timeout={"type": "float", "default": 300.0},
            shutdown_timeout={"type": "float", "default": 60.0},
            checks={"type": "list", "elements": "dict", "default": []},
            address={"type": "str", "default": ""},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    return power(session, session.params)


if __name__ == "__main__":
    main()
