#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replica_info
version_added: 0.1.0
short_description: Read state, recovery points and drift of one replica
description:
  - Returns the derived state of the protected VM, its recovery points with their age, what promotion would lose,
    and where the replica differs from the production VM.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  contract:
    description: RTO and RPO, in the form of the inventory variable C(dr_contract).
    type: dict
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_info
"""

EXAMPLES = r"""
- name: See how old the last copy is
  ferragosto.dr.replica_info:
    site: "{{ dr_site }}"
    vm: gestionale
    replica:
      name: gestionale_replica
  delegate_to: localhost
  register: replica
"""

RETURN = r"""
replica:
  description: State, legal operations, recovery points with age and loss, drift, alarms.
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.assess import replica_facts


def main() -> None:
    run(spec(contract={"type": "dict"}), act, Session)


def act(session: Session) -> dict[str, object]:
    return {"replica": replica_facts(session, session.params)}


if __name__ == "__main__":
    main()
