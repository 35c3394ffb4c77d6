# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The static gate fails a deliberately broken script of each kind, with the rule that it breaks; good ones pass."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate import check

HEAD = "param($p)\n$vm = Get-VM -Id $p.id\n"
TAIL = "[pscustomobject]@{\n    name = [string]$vm.Name\n}\n"
# Each of these breaks one rule, in the lines between HEAD and TAIL.
BROKEN = [
    # --- syntax, with the four texts that tree-sitter lets pass
    ("syntax", "if ($vm { Start-VM -VM $vm }"),
    ("syntax", "$found = @(Get-VMSnapshot -VM $vm"),
    ("syntax", "Start-VM -VM $vm }"),
    ("try-without-catch", "try { Start-VM -VM $vm }"),
    ("chain-operator", "Stop-VM -VM $vm && Start-VM -VM $vm"),
    ("chain-operator", "Stop-VM -VM $vm || Start-VM -VM $vm"),
    ("stray-keyword", "else { Start-VM -VM $vm }"),
    ("assignment-target", "'Off' = $vm.State"),
    ("assignment-target", "5 = 6"),
    ("ascii", "$text = 'caf\u00e9'"),
    ("ascii", "Start-VM \u2013VM $vm"),
    ("one-line-param", "function Get-DrName { param($of) $of.Name }"),
    ("one-line-switch", "switch ($p.way) { 1 { Start-VM -VM $vm } }"),
    # --- beyond the subset
    ("unsupported", "switch ($p.way) {\n1 { Start-VM -VM $vm }\n}"),
    ("unsupported", "do { Start-Sleep -Seconds 1 } until ($p.isDone)"),
    ("unsupported", "for ($i = 0; $i -lt 3; $i++) { Start-Sleep -Seconds 1 }"),
    ("unsupported", "$text = $($vm.Name)"),
    ("unsupported", "Start-VM -VM $vm 2>&1"),
    ("unsupported", "$text = $env:COMPUTERNAME"),
    ("unsupported", "$text = $vm.Name -replace 'a', 'b'"),
    ("unsupported", "$vm.Name -as [string]"),
    ("type", "$file = [System.IO.File]::ReadAllText('C:\\x')"),
    ("type", "$text = [xml]$p.text"),
    ("type", "$block = [Console]::OpenStandardInput()"),
    ("method", "$vm.Delete()"),
    # --- code out of text
    ("double-quoted", '$text = "the VM"'),
    ("double-quoted", '$text = "the VM $p"'),
    ("here-string", "$text = @'\nthe VM\n'@"),
    ("here-string", '$text = @"\nthe VM $p\n"@'),
    ("invoke-expression", "Invoke-Expression -Command $p.text"),
    ("invoke-expression", "iex $p.text"),
    ("invocation", "& $p.block"),
    ("invocation", "& $vm"),
    ("invocation", "& 'Start-VM' -VM $vm"),
    ("invocation", ". $p"),
    ("invocation", ". C:\\scripts\\start.ps1"),
    ("code-from-text", "$block = [ScriptBlock]::Create($p.text)"),
    ("code-from-text", "$block = [System.Management.Automation.ScriptBlock]::Create('Start-VM ' + $vm.Name)"),
    ("code-from-text", "$p.block.Invoke()"),
    ("code-from-text", "$text = $ExecutionContext.InvokeCommand.ExpandString($p.text)"),
    ("query-from-value", "$found = Get-CimInstance -ClassName 'Win32_Service' -Filter ('Name=' + $p.name)"),
    ("query-from-value", "$found = Get-WinEvent -LogName 'System' -FilterXPath $p.query"),
    ("wildcard", "$switch2 = Get-VMSwitch -Name $p.switch"),
    ("wildcard", "$point = Get-VMSnapshot -VM $vm -Name $p.point"),
    ("splatting", "Start-VM @p"),
    ("forbidden-cmdlet", "Write-Host -Object 'done'"),
    ("forbidden-cmdlet", "Start-Process -FilePath 'cmd.exe'"),
    ("forbidden-cmdlet", "$list = New-Object -TypeName System.Collections.ArrayList"),
    ("forbidden-cmdlet", "Invoke-Command -ScriptBlock { Start-VM -VM $vm }"),
    ("alias", "gwmi Win32_OperatingSystem"),
    ("alias", "$running = Get-VM | ? { $_.State -eq 'Running' }"),
    ("alias", "$names = Get-VM | % { $_.Name }"),
    ("alias", "ipconfig"),
    ("alias", "$size = 5GB"),  # to PowerShell a number; the parser takes it for a command's name
    # --- cmdlets and their sets
    ("unknown-cmdlet", "Remove-VM -VM $vm -Force"),
    ("unknown-cmdlet", "Start-VMFailOvers -VM $vm"),
    ("unknown-parameter", "Set-VMReplication -VM $vm -AutoResynchronizeDisabled $true"),
    ("unknown-parameter", "Get-VMHost -Confirm:$false"),
    ("unknown-parameter", "function Get-DrName {\nparam($of)\n$of.Name\n}\nGet-DrName -from $vm"),
    ("parameter-in-full", "Stop-VM -VM $vm -Turn"),
    ("parameter-in-full", "Set-VMReplication -VM $vm -Reverse -ReplicaServer $p.server"),
    ("parameter-given-twice", "Start-VM -VM $vm -VM $vm"),
    ("positional", "Start-VM $vm"),
    ("positional", "Get-VMSnapshot -VM $vm 'Before the patch'"),
    ("positional", "Start-VMFailover -VM $vm -Prepare $true -Confirm:$false"),
    ("positional", "function Get-DrName {\nparam($of)\n$of.Name\n}\nGet-DrName $vm"),
    ("positional", "$running = Get-VM | Where-Object State -eq 'Running'"),
    ("no-parameter-set", "Start-VMFailover -VM $vm -Prepare -AsTest -Confirm:$false"),
    ("no-parameter-set", "Get-NetFirewallRule -Name 'a' -DisplayName 'b'"),
    ("missing-mandatory", "Start-VM"),
    ("missing-mandatory", "Connect-VMNetworkAdapter -VMNetworkAdapter $p.nic"),
    ("missing-mandatory", "Test-VMReplicationConnection -ReplicaServerName $p.server -ReplicaServerPort 443"),
    ("missing-mandatory", "Invoke-CimMethod -InputObject $p.service"),
    ("input-not-bound", "$vm | Connect-VMNetworkAdapter -SwitchName 'LAN'"),
    ("input-not-bound", "Get-VMReplication -VM $vm | Start-VMFailover -Confirm:$false"),
    ("input-not-bound", "$vm | Get-Date"),
    # --- values that stand in the text, or whose type is plain
    ("bad-enum", "Get-VMSnapshot -VM $vm -SnapshotType Replicated"),
    ("bad-enum", "Set-VM -VM $vm -AutomaticStartAction 'Never'"),
    ("bad-enum", "Get-VMReplication -VM $vm | Where-Object { $_.ReplicationState -eq 'FailedOverCompleted' }"),
    ("bad-enum", "if ([string]$vm.State -eq 'Stopped') {\nStart-VM -VM $vm\n}"),
    (
        "bad-enum",
        "$points = Get-VMSnapshot -VM $vm | Where-Object { [string]$_.SnapshotType -in @('Replica', 'Synced') }",
    ),
    ("bad-value", "Set-VMReplication -VM $vm -ReplicationFrequencySec 10"),
    ("bad-value", "Start-Sleep -Seconds 'soon'"),
    ("bad-value", "Start-Sleep -Seconds"),
    ("bad-value", "Start-VM -VM $vm.Name"),
    ("bad-value", "$host1 = Get-VMHost\nStart-VM -VM $host1"),
    (
        "bad-value",
        "$nic = Get-VMNetworkAdapter -VM $vm\nConnect-VMNetworkAdapter -VMNetworkAdapter $nic -SwitchName $vm",
    ),
    ("error-action", "Start-VM -VM $vm -ErrorAction Continue"),
    ("unknown-property", "$found = [pscustomobject]@{\nstate = [string]$vm.Status1\n}"),
    ("unknown-property", "$state = (Get-VMReplication -VM $vm).State"),
    ("unknown-property", "$names = Get-VMSwitch | Select-Object -ExpandProperty SwitchName"),
    ("unknown-property", "function Get-DrName {\nparam($of)\n$of.FullName\n}\nGet-DrName -of $vm"),
    ("unknown-variable", "Start-VM -VM $machine"),
    # --- what PowerShell does beside what is meant
    ("duplicate-key", "$found = @{\nname = 'a'\nName = 'b'\n}"),
    ("automatic-variable", "$host = Get-VMHost"),
    ("automatic-variable", "foreach ($switch in @(Get-VMSwitch)) {\nStart-Sleep -Seconds 1\n}"),
    ("automatic-variable", "function Get-DrName {\nparam($input)\n$input\n}"),
    ("stray-output", "Get-VMReplication -VM $vm"),
    ("stray-output", "Start-VM -VM $vm -Passthru"),
    ("stray-output", "Start-VMFailover -VM $vm -AsTest -Confirm:$false"),
    ("stray-output", "if ($p.isShown) {\n$vm.Name\n}"),
    ("stray-output", "function Get-DrName {\nreturn 'name'\n}\nGet-DrName"),
    # --- what this project asks of its scripts
    ("not-everywhere", "Restart-VM -VM $vm -Force -Type Reboot"),
    ("confirm", "Start-VMFailover -VM $vm"),
    ("confirm", "Start-VMFailover -VM $vm -Confirm"),
    ("confirm", "Start-VMFailover -VM $vm -Confirm:$true"),
    ("confirm", "Start-VMFailover -VM $vm -Confirm:$p.confirm"),
    ("confirm", "Complete-VMFailover -VM $vm"),
    ("second-hop", "$other = Get-VMHost -ComputerName $p.other"),
    ("second-hop", "$other = Get-VMReplication -VMName $p.name -CimSession $p.other"),
    ("second-hop", "$other = Get-VMSwitch -Credential $p.credential"),
    ("second-hop", "Stop-VM -VM $vm -AsJob"),
    ("get-vm-by-id", "$other = Get-VM -Name $p.name"),
    ("get-vm-by-id", "$other = $p.id | Get-VM"),
    ("by-object", "Start-VMFailover -VMName $p.name -Confirm:$false"),
    ("by-object", "Stop-VMFailover -VMName $p.name"),
    ("by-object", "Complete-VMFailover -VMName $p.name -Confirm:$false"),
    ("by-object", "Set-VMReplication -VMName $p.name -AsReplica"),
    ("by-object", "Get-VMReplication -VM $vm | Set-VMReplication -AsReplica"),
    ("by-object", "Stop-VM -Name $p.name"),
    ("by-object", "$points = Get-VMSnapshot -VMName $p.name"),
]

GOOD = [
    "$points = @(Get-VMSnapshot -VM $vm | Where-Object { [string]$_.SnapshotType -in @('Replica', 'SyncedReplica') })\n"
    "$points[0] | Start-VMFailover -Confirm:$false",
    "$test = Start-VMFailover -VMRecoverySnapshot $p.point -AsTest -Confirm:$false",
    "Start-VMFailover -VM $vm -Prepare -Confirm:$false -WhatIf:$p.whatIf",
    "Stop-VM -VM $vm -TurnOff:$p.isHard -Force -ErrorAction Stop",
    "Set-VM -VM $vm -Notes $p.notes -AutomaticStartAction Nothing",
    "Set-VM -VM $vm -AutomaticStartAction $p.action",
    "foreach ($nic in @(Get-VMNetworkAdapter -VM $vm)) {\n"
    "Connect-VMNetworkAdapter -VMNetworkAdapter $nic -SwitchName $p.switch\n}",
    "$nics = Get-VMNetworkAdapter -VM $vm\n$nics | Disconnect-VMNetworkAdapter",
    "$found = Get-VMSwitch -Name ([Management.Automation.WildcardPattern]::Escape($p.switch))",
    "$found = Get-CimInstance -ClassName 'Win32_LogicalDisk' -Filter 'DriveType=3'",
    "$uptime = [int]$vm.Uptime.TotalSeconds",
    "$size = [long](Get-VHD -Path $p.path -ErrorAction Stop).Size",
    "try {\n$said = Get-VMReplication -VM $vm\n}\ncatch {\nthrow $_\n}",
    "$filter = @{\nLogName = 'Microsoft-Windows-Hyper-V-Worker-Admin'\nId = 18590, 18602\n}\n"
    "$when = Get-WinEvent -FilterHashtable $filter -MaxEvents 9 | ForEach-Object { $_.TimeCreated.ToString('o') }",
    "$service = Get-CimInstance -Namespace 'root\\virtualization\\v2' -ClassName 'Msvm_ComputerSystem'\n"
    "$said = Invoke-CimMethod -InputObject $service -MethodName 'RequestStateChange' -Arguments @{ RequestedState = 3 }",
    "function Get-DrName {\nparam($of)\nreturn [string]$of.Name\n}\n$name = Get-DrName -of $vm",
    "if ([string]$vm.Heartbeat -eq '') {\nStart-Sleep -Milliseconds 500\n}",
    "$found = [pscustomobject]@{\nnames = @(Get-VM | Sort-Object -Property Name | Select-Object -ExpandProperty Name)\n"
    "count = (Get-VM | Measure-Object).Count\n}",
    "$server = Get-VMReplicationServer\nif ($server.ReplicationEnabled -and $server.ReplicationAllowedFromAnyServer) {\n"
    "Set-VMReplication -VM $vm -AsReplica\n}\nelseif ($p.primary) {\n"
    "Set-VMReplication -VM $vm -AsReplica -AllowedPrimaryServer $p.primary\n}",
    "Get-VM | Out-Null",
    "$text = 'he said \"$(Stop-VM)\" & ''iex'', `$p, @args && # all of it text'",
]


@pytest.mark.parametrize(("rule", "body"), BROKEN, ids=[f"{rule}: {body[:50]}" for rule, body in BROKEN])
def test_a_broken_script_of_each_kind_fails_with_its_rule(rule, body):
    found = check(f"{HEAD}{body}\n{TAIL}")

    assert rule in {finding.rule for finding in found}, found
    assert all(finding.message for finding in found)


@pytest.mark.parametrize(("rule", "body"), BROKEN, ids=[f"{rule}: {body[:50]}" for rule, body in BROKEN])
def test_a_finding_names_a_line_of_the_broken_part(rule, body):
    lines = {finding.line for finding in check(f"{HEAD}{body}\n{TAIL}") if finding.rule == rule}

    # A text whose brackets do not close is broken as a whole.
    assert rule == "syntax" or all(HEAD.count("\n") < line <= HEAD.count("\n") + body.count("\n") + 1 for line in lines)


@pytest.mark.parametrize("body", GOOD)
def test_a_good_script_passes(body):
    assert check(f"{HEAD}{body}\n{TAIL}") == []


@pytest.mark.parametrize(
    ("rules", "end"),
    [
        (set(), "Get-DrSheet -vm $vm"),
        (set(), "if ($p.isShown) {\n$vm.Name\n}\nelse {\nthrow 'ferragosto.dr.hidden'\n}"),
        (set(), "try {\n$vm.Name\n}\ncatch {\nreturn 'none'\n}"),
        ({"no-output"}, "Start-VM -VM $vm"),
        ({"no-output"}, "if ($p.isShown) {\n$vm.Name\n}"),
        ({"no-output"}, "if ($p.isShown) {\n$vm.Name\n}\nelse {\nStart-VM -VM $vm\n}"),
        ({"stray-output"}, "foreach ($one in @(Get-VM)) {\n$one.Name\n}"),
        ({"stray-output"}, "$vm.Name\n$vm.Id"),
        ({"stray-output"}, "function Get-DrPair {\nparam($of)\n$of.Name\n$of.Id\n}\nGet-DrPair -of $vm"),
        ({"no-output"}, ""),
    ],
)
def test_a_script_ends_with_the_one_object_that_it_answers_with(rules, end):
    sheet = "function Get-DrSheet {\nparam($vm)\n[pscustomobject]@{\nname = [string]$vm.Name\n}\n}\n"

    assert {finding.rule for finding in check(f"param($p)\n{sheet}$vm = Get-VM -Id $p.id\n{end}\n")} == rules


def test_functions_that_call_each_other_are_followed_to_an_end():
    text = "function Get-DrA {\nGet-DrB\n}\nfunction Get-DrB {\nGet-DrA\n}\nGet-DrA\n"

    assert {finding.rule for finding in check(f"param($p)\n{text}")} == {"no-output"}


def test_every_finding_of_a_script_is_reported_in_the_order_of_its_lines():
    found = check(f"{HEAD}Start-VMFailover -VMName $p.name\nWrite-Host -Object 'done'\n{TAIL}")

    assert [(finding.line, finding.rule) for finding in found] == [
        (3, "by-object"),
        (3, "confirm"),
        (4, "forbidden-cmdlet"),
        (4, "unknown-cmdlet"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "$vm = Get-VM\n",
        "param($q)\n$vm = Get-VM -Id $q.id\n",
        "param($p, $q)\n$vm = Get-VM\n",
        "\nparam($p)\n$vm = Get-VM\n",
        "param($p) $vm = Get-VM\n",
        "",
    ],
)
def test_a_script_begins_with_its_one_parameter_on_a_line_of_its_own(text):
    assert "begins-with-param" in {finding.rule for finding in check(text)}


BOOTSTRAP = """\
$utf8 = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
$reader = New-Object -TypeName System.IO.StreamReader -ArgumentList ([Console]::OpenStandardInput()), $utf8
$text = $reader.ReadToEnd()
$job = ConvertFrom-Json -InputObject $text
$block = [ScriptBlock]::Create($job.script)
& $block $job.parameters
"""


def test_the_bootstrap_may_run_the_block_that_it_makes_and_a_script_may_not():
    assert check(BOOTSTRAP, is_bootstrap=True) == []
    assert {finding.rule for finding in check(f"param($p)\n{BOOTSTRAP}")} == {
        "code-from-text",
        "forbidden-cmdlet",
        "invocation",
        "method",
        "type",
    }


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("invocation", ". $block"),
        ("invocation", "& 'powershell.exe'"),
        ("invoke-expression", "iex $text"),
        ("code-from-text", "$block.Invoke()"),
        ("double-quoted", '$text = "$job"'),
        ("forbidden-cmdlet", "Write-Host -Object $text"),
        ("confirm", "Complete-VMFailover -VM $job.vm"),
    ],
)
def test_the_bootstrap_is_let_off_nothing_else(rule, line):
    assert rule in {finding.rule for finding in check(f"{BOOTSTRAP}{line}\n", is_bootstrap=True)}
