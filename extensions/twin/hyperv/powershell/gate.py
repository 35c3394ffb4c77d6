# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The static gate: what a script must be before it may go to a host. It needs no host, no fleet and no run.

It answers what can be known from the text: that it parses, that every cmdlet, parameter, set and spelt-out value is real,
that what asks is told not to, that nothing is made of text, and that VMs go by their objects. "PowerShell accepts it" is
more than it can say: it reads with tree-sitter-powershell, and with the twin's own parser for what the twin can play.
"""

from __future__ import annotations

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import gate_shape, gate_text
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate_text import Finding
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate_walk import Walk
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import parse

__all__ = ["Finding", "check"]


def check(text: str, is_bootstrap: bool = False) -> list[Finding]:
    """Every reason why this text may not go to a host, in the order of its lines; none is a pass.

    The bootstrap may make one script block of the text on its input and run it, and needs no param().
    """
    found = set(gate_text.findings(text, is_bootstrap=is_bootstrap))
    try:
        script = parse(text)
    except SimulatorError as refusal:
        # The rules of the text say it better where they saw the same line.
        if not any(finding.line == refusal.line for finding in found):
            found.add(Finding(refusal.line or 1, "unsupported", refusal.what))
        return sorted(found)
    names = [parameter.name for parameter in script.block.parameters]
    if not is_bootstrap and names != ["p"]:
        found.add(Finding(1, "begins-with-param", "a script has the one parameter $p"))
    found |= set(gate_shape.findings(script, is_bootstrap=is_bootstrap))
    return sorted(found | Walk(script, is_bootstrap=is_bootstrap).whole())
