#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_migration
version_added: 0.1.0
short_description: Move a promoted replica home, or back
description:
  - Moves the promoted replica to the production host, live where the platform can, and stamps how far it came; the
    fenced original stays where it is.
  - On Hyper-V the move is a planned failover, with one shutdown, once the replication was reversed (M(ferragosto.dr.replication)); the
    VM at the other end becomes its replica.
  - A cold move with downtime happens only with O(mode=cold), or with O(mode=auto) and a policy that allows it.
  - In check mode a replica that is ready is looked at as if it had been promoted, so that a dry run of a whole recovery foresees its calls.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  to:
    description: The end of the site where the VM is to live.
    type: str
    choices: [production, replica]
    default: production
  mode:
    description:
      - V(live) without downtime, V(cold) with the guest shut down.
      - V(auto) is V(cold) where the platform cannot move it live and C(cold_migration) of O(policy) allows the downtime; else V(live).
    type: str
    choices: [auto, live, cold]
    default: live
  policy:
    description: Policy with its C(deadlines), in the form of the inventory variable C(dr_policy).
    type: dict
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site
  - ferragosto.dr.common.vm
  - ferragosto.dr.common.attributes_act
"""

EXAMPLES = r"""
- name: Bring the VM home
  ferragosto.dr.vm_migration:
    site: "{{ dr_site }}"
    vm: gestionale
    replica:
      name: gestionale_replica
    to: production
  delegate_to: localhost
"""

RETURN = r"""
copy:
  description: The VM as it is now, with its platform id and host.
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.acts import migration


def main() -> None:
    run(
        spec(
            to={"type": "str", "choices": ["production", "replica"], "default": "production"},
            mode={"type": "str", "choices": ["auto", "live", "cold"], "default": "live"},
            policy={"type": "dict"},
        ),
        act,
        Session,
    )


def act(session: Session) -> dict[str, object]:
    return migration(session, session.params)


if __name__ == "__main__":
    main()
