# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What powershell.exe itself is started with: it reads one job from its standard input, runs it, and answers in one line.

The text is the same for every operation, so that neither a script nor a value ever has to fit a command line or to be quoted.
Bytes are read and written as UTF-8 by ourselves and the answer is base64, so that no code page of the host has a say.
"""

from __future__ import annotations

import base64

OPENING, CLOSING = "<<<ferragosto.dr:", ">>>"

BOOTSTRAP = """\
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$utf8 = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
$answer = [ordered]@{
    ok = $false
    data = $null
    error = $null
    now = ''
}
try {
    $reader = New-Object -TypeName System.IO.StreamReader -ArgumentList ([Console]::OpenStandardInput()), $utf8
    $text = $reader.ReadToEnd()
    $job = ConvertFrom-Json -InputObject $text
    $block = [ScriptBlock]::Create($job.script)
    $answer.data = & $block $job.parameters
    $answer.ok = $true
}
catch {
    $answer.error = [ordered]@{
        message = [string]$_.Exception.Message
        id = [string]$_.FullyQualifiedErrorId
        category = [string]$_.CategoryInfo.Category
        line = [int]$_.InvocationInfo.ScriptLineNumber
    }
}
$answer.now = [DateTime]::UtcNow.ToString('o')
$json = ConvertTo-Json -InputObject $answer -Depth 8 -Compress
'<<<ferragosto.dr:' + [Convert]::ToBase64String($utf8.GetBytes($json)) + '>>>'
"""

EXECUTABLE = "powershell.exe"
ARGUMENTS = (
    "-NoProfile",
    "-NonInteractive",
    "-InputFormat",  # or powershell.exe reads standard input itself, for $input, while the text below opens it
    "None",
    "-EncodedCommand",
    base64.b64encode(BOOTSTRAP.encode("utf-16-le")).decode("ascii"),
)
