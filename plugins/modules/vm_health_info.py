#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_health_info
version_added: 0.1.0
short_description: Diagnose one VM
description:
  - Returns a verdict with its evidence, the blast radius, the last changes and the best estimate of when the fault
    began.
  - Keeps first-seen times in the journal, because one read cannot tell a hung guest from a booting one.
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
  screenshot:
    description:
      - File on the machine that runs the module, where a picture of the guest's screen (PNG) is written. Nothing is written in
        check mode.
      - Proxmox VE and Hyper-V only. On Proxmox VE it needs the privilege VM.Console, and leaves one console task in the node's task list.
    type: path
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_info
"""

EXAMPLES = r"""
- name: See how the VM fares
  ferragosto.dr.vm_health_info:
    site: "{{ dr_site }}"
    vm: gestionale
    replica:
      name: gestionale_replica
  delegate_to: localhost
  register: health
"""

RETURN = r"""
diagnosis:
  description: Verdict, certainty, reason, evidence, blast radius, last change.
  returned: success
  type: dict
service:
  description: What the service checks said.
  returned: success
  type: dict
screenshot:
  description: The file that was written, or why there is no picture.
  returned: when O(screenshot) is given
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.assess import diagnose_one


def main() -> None:
    run(
        spec(
            checks={"type": "list", "elements": "dict", "default": []},
            address={"type": "str", "default": ""},
            screenshot={"type": "path"},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    return diagnose_one(session, session.params)


if __name__ == "__main__":
    main()
