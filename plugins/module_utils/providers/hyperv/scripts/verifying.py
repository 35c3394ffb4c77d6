# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only a transcript asks a host: which Windows and PowerShell answer, and what Hyper-V would refuse right now.

With -WhatIf the host goes through its own guards and stops before the act. Of the cmdlets that move a replication these three check
first and ask afterwards; Complete-VMFailover asks first, so it would tell nothing and is left out.
"""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.machine import BEGIN
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

CONSOLE = Script(
    name="read the console",
    text="""\
param($p)
$console = Get-Host
$windows = Get-CimInstance -ClassName 'Win32_OperatingSystem'
[pscustomobject]@{
    windows = [string]$windows.Version
    language = [int]$windows.OSLanguage
    powershell = [string]$console.Version
    culture = [string]$console.CurrentCulture
    ui_culture = [string]$console.CurrentUICulture
}
""",
)

# What is asked, by the name that a transcript gives it; without the settings that an act of ours would give with it.
CALLS = {
    "prepare": "Start-VMFailover -VM $vm -Prepare -Confirm:$false -WhatIf",
    "test": "$test = Start-VMFailover -VM $vm -AsTest -Confirm:$false -WhatIf",
    "fail over": "Start-VMFailover -VM $vm -Confirm:$false -WhatIf",
    "cancel": "Stop-VMFailover -VM $vm -Confirm:$false -WhatIf",
    "reverse": "Set-VMReplication -VM $vm -Reverse -Confirm:$false -WhatIf",
    "as replica": "Set-VMReplication -VM $vm -AsReplica -Confirm:$false -WhatIf",
}

_REFUSAL = """\
function Get-DrRefusal {
    param($call, $record)
    [pscustomobject]@{
        call = [string]$call
        is_refused = [bool]($null -ne $record)
        id = [string]$record.FullyQualifiedErrorId
        category = [string]$record.CategoryInfo.Category
        message = [string]$record.Exception.Message
    }
}
$answers = @()
"""


def _asked(name: str, call: str) -> str:
    return f"""\
try {{
    {call}
    $answers += Get-DrRefusal -call '{name}' -record $null
}}
catch {{
    $answers += Get-DrRefusal -call '{name}' -record $_
}}
"""


WHAT_IF = Script(
    name="ask the host what it would refuse",
    text=BEGIN
    + _REFUSAL
    + "".join(_asked(name, call) for name, call in CALLS.items())
    + """\
[pscustomobject]@{
    sheet = Get-DrSheet -vm $vm
    answers = @($answers)
}
""",
)

ALL = (CONSOLE, WHAT_IF)
