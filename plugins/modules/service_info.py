#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
version_added: 0.1.0
short_description: Ask whether the service answers
description:
  - Runs the declared checks until all pass or the deadline is over, and says which copy answered where the answer
    shows it.
  - An answer of another copy than the one expected is not a success. With O(expected_copy) the power and the guest of that
    copy are verified as well.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  checks:
    description: Checks of the service, in the form of the inventory variable C(dr_checks).
    type: list
    elements: dict
    default: []
  address:
    description: Address of the VM for checks that name only a port.
    type: str
    default: ""

  deadline:
    description: Seconds until all checks must have passed. V(0) asks once.
    type: float
    default: 0.0
  expected_copy:
    description: Platform id of the copy that must answer; only checks that name an C(identity) can tell.
    type: str
  expected_host:
    description: Physical host that the answer must name, where the answer names one.
    type: str
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_info
"""

EXAMPLES = r"""
- name: Wait until the promoted copy answers
  ferragosto.dr.service_info:
    site: "{{ dr_site }}"
    vm: gestionale
    checks: "{{ dr_checks }}"
    deadline: 120
  delegate_to: localhost
"""

RETURN = r"""
service:
  description: What the service answered.
  returned: success
  type: dict
  contains:
    answers:
      description: Whether every check passed, by the right copy; null without checks.
      type: bool
    reason:
      description: Why, in words.
      type: str
    checks:
      description: Each check with its result.
      type: list
      elements: dict
    stages:
      description: Power, guest and service of O(expected_copy), in this order, up to the first that fails.
      type: list
      elements: dict
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.verification import ask_service


def main() -> None:
    run(
        spec(
            checks={"type": "list", "elements": "dict", "default": []},
            address={"type": "str", "default": ""},
            deadline={"type": "float", "default": 0.0},
            expected_copy={"type": "str"},
            expected_host={"type": "str"},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    return {"service": ask_service(session, session.params, deadline_s=session.params["deadline"])}


if __name__ == "__main__":
    main()
