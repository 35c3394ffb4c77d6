# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's cmdlets show: VMs and their guests, events, screens, rights, languages."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import events, messages
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import binder, metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError, Stopped
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import run_of
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.fleet.fleet_kit import HOUR_S, A, B, Pair, about

LOG = "Microsoft-Windows-Hyper-V-Worker-Admin"
HYPERV = "Microsoft.HyperV.PowerShell.Commands."
SCREEN = """    $space = 'root\\virtualization\\v2'
    $service = Get-CimInstance -Namespace $space -ClassName 'Msvm_VirtualSystemManagementService'
    $system = Get-CimInstance -Namespace $space -ClassName 'Msvm_ComputerSystem' -Filter "Name = '%s'"
    $setting = Get-CimAssociatedInstance -InputObject $system -ResultClassName 'Msvm_VirtualSystemSettingData'
    $asked = @{
        TargetSystem = $setting
        WidthPixels = 32
        HeightPixels = 24
    }
    $image = Invoke-CimMethod -InputObject $service -MethodName 'GetVirtualSystemThumbnailImage' -Arguments $asked
    [long]$image.ReturnValue
    if ([long]$image.ReturnValue -eq 0) {
        [Convert]::ToBase64String($image.ImageData)
    }"""


def events_of(ids: str, more: str = "") -> str:
    return f"    Get-WinEvent -FilterHashtable @{{ LogName = '{LOG}'; Id = {ids}{more} }}"


def screen(pair: Pair, host: str) -> list[int]:
    """The pixels of the VM's screen as RGB565 numbers."""
    script = SCREEN.replace("\"Name = '%s'\"", "'Name = ''" + pair.a.key.upper() + "'''")
    code, pixels = pair.does(host, script)
    assert code == 0
    raw = base64.b64decode(pixels)
    return [int.from_bytes(raw[i : i + 2], "little") for i in range(0, len(raw), 2)]


def test_every_cmdlet_of_the_table_that_is_hyper_vs_or_windows_is_played() -> None:
    windows = ("Get-WinEvent", "Get-CimInstance", "Get-CimAssociatedInstance", "Invoke-CimMethod")
    found = [c.name for c in metadata.cmdlets().values() if c.source in ("stubs", "windows-docs") or c.name in windows]
    assert len(found) >= 34
    assert all(run_of(name) is not None for name in found)


# --- VMs -------------------------------------------------------------------------------------------------------------


def test_names_take_wildcards_and_may_be_there_twice() -> None:
    pair = Pair()
    pair.fleet.add_vm(A, "gestionale", vm="another")
    pair.fleet.add_vm(A, "web[1]", vm="web")
    assert len(pair.does(A, "    Get-VM -Name 'GEST*' | ForEach-Object { $_.Name }")) == 2
    assert pair.does(A, "    Get-VM -Name 'web[1]' | ForEach-Object { $_.Name }") == []  # a pattern that finds web1
    escaped = (
        "    Get-VM -Name ([Management.Automation.WildcardPattern]::Escape('web[1]')) | ForEach-Object { $_.Name }"
    )
    assert pair.does(A, escaped) == ["web[1]"]
    assert pair.does(A, "    Get-VM -Name 'nobody*'") == []


@pytest.mark.parametrize(
    ("script", "error_id", "category"),
    [
        ("    Get-VM -Name 'nobody'", "InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVM", "InvalidArgument"),
        (
            "    Get-VM -Id '00000000-0000-0000-0000-000000000007'",
            "ObjectNotFound,Microsoft.HyperV.PowerShell.Commands.GetVM",
            "ObjectNotFound",
        ),
        (
            "    Get-VMSwitch -Name 'nowhere'",
            "InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVMSwitch",
            "InvalidArgument",
        ),
    ],
)
def test_what_is_not_there_is_an_error_as_on_a_real_host(script: str, error_id: str, category: str) -> None:
    refused = Pair().refuses(A, script)
    assert (refused.id, refused.category) == (error_id, category)


def test_an_object_shows_the_present_and_a_removed_vm_is_not_found() -> None:
    pair = Pair()
    shown = pair.does(A, about("[string]$vm.State\n    Stop-VM -VM $vm -TurnOff\n    [string]$vm.State"))
    assert shown == ["Running", "Off"]
    gone = about(
        """$test = Start-VMFailover -VM $vm -AsTest -Confirm:$false
    Stop-VMFailover -VM $vm
    Start-VM -VM $test"""
    )
    assert pair.refuses(B, gone).short == "ObjectNotFound"


def test_a_property_that_is_not_played_fails_the_test_and_not_the_script() -> None:
    with pytest.raises(SimulatorError, match="GuestControlledCacheTypes"):
        Pair().shell(A, about("[bool]$vm.GuestControlledCacheTypes"))


def test_another_computer_is_out_of_reach() -> None:
    with pytest.raises(SimulatorError, match="ComputerName"):
        Pair().shell(A, f"    Get-VM -ComputerName '{B}'")


def test_notes_and_autostart_are_written_together() -> None:
    pair = Pair()
    pair.does(A, about("Set-VM -VM $vm -Notes 'kept; $(x) \"y\" é' -AutomaticStartAction 'Nothing'"))
    assert (pair.a.notes, pair.a.auto_start) == ('kept; $(x) "y" é', "Nothing")


@pytest.mark.parametrize(
    ("is_windows", "what", "heartbeat"),
    [
        (True, "", "OkApplicationsHealthy"),
        (False, "", "OkApplicationsUnknown"),
        (True, "hang", "LostCommunication"),
        (True, "crash", "LostCommunication"),
        (True, "disabled", "Disabled"),
        (True, "no integration", "NoContact"),
        (True, "off", ""),
        (True, "paused", "Paused"),
        (True, "booting", "NoContact"),
    ],
)
def test_heartbeat_tells_what_the_guest_does(is_windows: bool, what: str, heartbeat: str) -> None:
    pair = Pair(is_windows=is_windows)
    copy = pair.fleet.copy(pair.a)
    if what == "hang":
        pair.world.hang(copy.id)
    elif what == "crash":
        pair.world.crash(copy.id)
    elif what == "disabled":
        pair.a.has_heartbeat = False
    elif what == "no integration":
        copy.has_tools = False
    elif what == "off":
        pair.does(A, about("Stop-VM -VM $vm -TurnOff"))
    elif what == "paused":
        pair.does(A, about("Suspend-VM -VM $vm"))
    elif what == "booting":
        pair.does(A, about("Restart-VM -VM $vm -Force -Confirm:$false"))
    assert pair.does(A, about("[string]$vm.Heartbeat")) == [heartbeat]


def test_uptime_falls_when_a_guest_resets_itself() -> None:
    pair = Pair(reboots_after_crash_s=1.0)
    uptime = about("[long]$vm.Uptime.TotalSeconds")
    assert pair.does(A, uptime) == [int(30 * HOUR_S)]
    pair.world.crash(pair.a.copy_id)
    pair.turn(3.0)
    assert pair.does(A, uptime)[0] <= 3


# --- power -----------------------------------------------------------------------------------------------------------


def test_stopping_asks_the_guest_and_waits_for_it() -> None:
    pair = Pair()
    pair.does(A, about("Stop-VM -VM $vm -Force"))
    assert pair.a.state == "Off"
    assert pair.does(A, events_of("18504") + " | ForEach-Object { $_.Id }") == [18504]


def test_a_hung_guest_cannot_be_shut_down_but_turned_off() -> None:
    pair = Pair()
    pair.world.hang(pair.a.copy_id)
    assert pair.refuses(A, about("Stop-VM -VM $vm -Force")).short == "OperationFailed"
    pair.does(A, about("Stop-VM -VM $vm -TurnOff"))
    assert pair.a.state == "Off"


def test_a_session_that_is_ended_stops_waiting_for_a_guest_that_goes_on_shutting_down() -> None:
    pair = Pair()
    context = pair.session(A)
    bound = binder.bind("Stop-VM", [("Name", "gestionale"), ("Force", binder.BARE)], session=_Session(context))
    context.stop.set()
    with pytest.raises(Stopped):
        list(run_of("Stop-VM")(bound))
    assert pair.a.state == "Running"
    pair.turn(5.0)
    assert pair.a.state == "Off"


class _Session:
    def __init__(self, context: Context) -> None:
        self.context = context

    def variable(self, name: str) -> object:
        return None

    def write_host(self, text: str) -> None:
        raise AssertionError(text)


def test_a_saved_vm_must_lose_its_state_before_it_is_off() -> None:
    pair = Pair()
    pair.does(A, about("Stop-VM -VM $vm -Save"))
    assert pair.does(A, about("[string]$vm.State")) == ["Saved"]
    pair.does(A, about("Remove-VMSavedState -VM $vm"))
    assert pair.does(A, about("[string]$vm.State")) == ["Off"]


def test_starting_what_runs_is_no_error_and_starting_without_memory_is() -> None:
    pair = Pair()
    pair.does(A, about("Start-VM -VM $vm"))
    pair.fleet.add_vm(A, "giant", memory_bytes=2**40)
    assert pair.refuses(A, "    Start-VM -Name 'giant'").short == "OperationFailed"


@pytest.mark.parametrize(
    ("action", "was_running", "runs"),
    [
        ("Start", False, True),
        ("StartIfRunning", True, True),
        ("StartIfRunning", False, False),
        ("Nothing", True, False),
    ],
)
def test_a_host_that_returns_starts_what_it_is_told_to(action: str, was_running: bool, runs: bool) -> None:
    pair = Pair()
    vm = pair.fleet.add_vm(A, "other", auto_start=action, uptime_s=100.0 if was_running else None)
    pair.fleet.host_lost(A)
    assert vm.state == "Off"
    pair.fleet.host_back(A)
    assert vm.is_on is runs


def test_an_isolated_host_keeps_its_guests_alive() -> None:
    pair = Pair()
    pair.fleet.host_lost(A, is_dead=False)
    pair.turn(10.0)
    assert pair.a.state == "Running"
    assert pair.fleet.guests.heartbeat(pair.a) == "OkApplicationsHealthy"


# --- adapters, disks, points -----------------------------------------------------------------------------------------


def test_a_replicas_adapters_are_not_connected_until_somebody_does_it() -> None:
    pair = Pair()
    names = about("Get-VMNetworkAdapter -VM $vm | ForEach-Object { [string]$_.SwitchName }")
    assert (pair.does(A, names), pair.does(B, names)) == (["LAN"], [""])
    pair.does(B, about("Get-VMNetworkAdapter -VM $vm | Connect-VMNetworkAdapter -SwitchName 'lan'"))
    assert pair.does(B, names) == ["LAN"]
    assert pair.fleet.copy(pair.b).nics[0].network == "LAN"
    pair.does(B, about("Get-VMNetworkAdapter -VM $vm | Disconnect-VMNetworkAdapter"))
    assert not pair.fleet.copy(pair.b).nics[0].is_connected
    wrong = about("Get-VMNetworkAdapter -VM $vm | Connect-VMNetworkAdapter -SwitchName 'nowhere'")
    assert pair.refuses(B, wrong).short == "InvalidParameter"


def test_recovery_points_are_of_three_types_and_replica_alone_misses_two() -> None:
    pair = Pair()
    pair.does(A, about("Stop-VM -VM $vm -Force\n    Start-VMFailover -VM $vm -Prepare -Confirm:$false"))
    kinds = pair.does(B, about("Get-VMSnapshot -VM $vm | ForEach-Object { [int]$_.SnapshotType }"))
    assert sorted(set(kinds)) == [6, 7, 8]
    only = pair.does(B, about("Get-VMSnapshot -VM $vm -SnapshotType Replica | ForEach-Object { [int]$_.SnapshotType }"))
    assert set(only) == {6}


def test_a_disk_added_later_is_not_in_the_replicated_set() -> None:
    pair = Pair()
    pair.fleet.add_disk(pair.a, 10 * 2**30, is_replicated=False)
    shown = pair.does(
        A,
        about(
            """$end = Get-VMReplication -VM $vm
    @($end.ReplicatedDisks).Count
    @($end.ExcludedDisks).Count
    [long](Get-VHD -Path (@($end.ExcludedDisks)[0].Path)).Size"""
        ),
    )
    assert shown == [1, 1, 10 * 2**30]


def test_replication_of_a_vm_without_one_is_not_found() -> None:
    pair = Pair()
    pair.fleet.add_vm(A, "other")
    assert pair.refuses(A, "    Get-VMReplication -VMName 'other'").short == "ObjectNotFound"
    assert pair.does(A, "    Get-VMReplication | ForEach-Object { $_.VMName }") == ["gestionale"]


# --- events, screens -------------------------------------------------------------------------------------------------


def test_a_blue_screen_is_an_event_with_its_bugcheck() -> None:
    pair = Pair()
    pair.world.crash(pair.a.copy_id)
    shown = pair.does(
        A,
        events_of("18590")
        + " | ForEach-Object { $_.Id; [string]$_.Message; @($_.Properties | ForEach-Object { [string]$_.Value }) }",
    )
    assert shown[0] == 18590
    assert "ErrorCode0: 0xD1" in shown[1]
    assert shown[2:5] == ["gestionale", pair.a.key.upper(), "0xD1"]


def test_a_linux_panic_has_no_bugcheck() -> None:
    pair = Pair(is_windows=False)
    pair.world.crash(pair.a.copy_id)
    assert "ErrorCode0: 0x0," in pair.does(A, events_of("18590") + " | ForEach-Object { [string]$_.Message }")[0]


def test_a_crash_loop_leaves_its_trail_newest_first() -> None:
    pair = Pair(reboots_after_crash_s=1.0)
    pair.world.corrupt("gestionale")
    pair.turn(7.0)
    ids = pair.does(A, events_of("18590, 18514, 18601") + " | ForEach-Object { $_.Id }")
    assert ids[:4] == [18601, 18514, 18590, 18601]
    assert ids.count(18590) == 3


def test_events_are_found_by_id_and_time_and_none_is_an_error() -> None:
    pair = Pair()
    assert pair.does(A, events_of("18500, 18601") + " | ForEach-Object { $_.Id }") == [18601, 18500]
    refused = pair.refuses(A, events_of("18590"))
    assert refused.id == "NoMatchingEventsFound,Microsoft.PowerShell.Commands.GetWinEventCommand"
    young = events_of("18500", "; StartTime = [datetime]'2026-08-15T07:00:00Z'")
    assert pair.refuses(A, young).short == "NoMatchingEventsFound"
    old = events_of("18500", "; StartTime = [datetime]'2026-08-14T01:59:00Z'")
    assert pair.does(A, old + " | ForEach-Object { $_.Id }") == [18500]
    assert pair.refuses(A, "    Get-WinEvent -LogName 'Nonsense'").short == "NoMatchingLogsFound"


def test_every_event_has_its_text_in_both_languages() -> None:
    pair = Pair()
    for number in sorted(messages.known_events()):
        pair.fleet.events.write(pair.a, number, data=("0xD1", *["0x0"] * 4, "0") if number == 18590 else ())
    for culture in messages.CULTURES:
        for event in pair.fleet.events.on(A):
            assert pair.a.key.upper() in messages.event_text(event, culture)
    assert set(events.LEVELS) <= messages.known_events()


def test_screens_show_blue_login_and_black() -> None:
    pair = Pair()
    login = screen(pair, A)
    assert len(login) == 32 * 24
    assert len(set(login)) > 10
    pair.world.crash(pair.a.copy_id)
    blue = screen(pair, A)
    assert max(blue.count(colour) for colour in set(blue)) > 0.8 * len(blue)
    assert all(colour in (0x03DA, 0xFFFF) for colour in blue)
    pair.does(A, about("Stop-VM -VM $vm -TurnOff"))
    script = SCREEN.replace("\"Name = '%s'\"", "'Name = ''" + pair.a.key.upper() + "'''")
    assert pair.does(A, script) == [32775]


def test_cim_tells_of_memory_and_of_the_last_change() -> None:
    pair = Pair()
    free = "    [long](Get-CimInstance -ClassName 'Win32_OperatingSystem').FreePhysicalMemory"
    before = pair.does(A, free)[0]
    pair.does(A, about("Stop-VM -VM $vm -TurnOff"))
    assert pair.does(A, free)[0] - before == 4 * 2**20
    changed = (
        "    Get-CimInstance -Namespace 'root\\virtualization\\v2' -ClassName 'Msvm_ComputerSystem' | "
        "Where-Object { $_.ElementName -eq 'gestionale' } | "
        "ForEach-Object { $_.TimeOfLastStateChange.ToUniversalTime().ToString('o') }"
    )
    assert pair.does(A, changed) == ["2026-08-15T08:00:00.0000000Z"]


def test_the_listeners_rule_is_found_by_its_name_in_every_language() -> None:
    pair = Pair(culture="de-DE")
    pair.fleet.host(A).server.open_listeners = {"Certificate"}
    script = (
        "    Get-NetFirewallRule -Name 'VIRT-HVRHTTPL-In-TCP-NoScope', 'VIRT-HVRHTTPSL-In-TCP-NoScope' | "
        "ForEach-Object { [string]$_.Enabled }"
    )
    assert pair.does(A, script) == ["False", "True"]
    english = "    Get-NetFirewallRule -DisplayName 'Hyper-V Replica HTTPS Listener (TCP-In)'"
    assert pair.refuses(A, english).category == "ObjectNotFound"


@pytest.mark.parametrize(
    ("how", "key"),
    [("ready", ""), ("closed", "OperationFailed"), ("address", "InvalidParameter"), ("port", "OperationFailed")],
)
def test_a_connection_to_the_replica_server_can_be_tried(how: str, key: str) -> None:
    pair = Pair()
    if how == "closed":
        pair.fleet.host(B).server.open_listeners.clear()
    server, port = ("10.0.0.1" if how == "address" else B), (8443 if how == "port" else 443)
    script = (
        "    $own = Get-VMReplicationServer\n"
        f"    Test-VMReplicationConnection -ReplicaServerName '{server}' -ReplicaServerPort {port} "
        "-AuthenticationType Certificate -CertificateThumbprint $own.CertificateThumbprint"
    )
    if key:
        assert pair.refuses(A, script).short == key
    else:
        assert B in pair.does(A, script)[0]


# --- rights, languages, clocks ---------------------------------------------------------------------------------------


def test_an_account_without_rights_sees_nothing_or_an_error_as_it_is_chosen() -> None:
    pair = Pair(rights={"blind": Rights.UNSEEN, "denied": Rights.DENIED, "reader": Rights.READER})
    assert pair.shell(A, "    Get-VM", user="DOM\\Blind") == []
    refused = pair.refuses(A, "    Get-VM", user="denied")
    assert (refused.id, refused.category) == (f"AccessDenied,{HYPERV}GetVM", "PermissionDenied")
    assert pair.refuses(A, events_of("18500"), user="blind").category == "PermissionDenied"


@pytest.mark.parametrize(
    "script",
    [
        "Set-VM -VM $vm -Notes 'x'",
        "Stop-VM -VM $vm -TurnOff",
        "Start-VMFailover -VM $vm -Prepare -Confirm:$false",
        "Set-VMReplication -VM $vm -AsReplica",
        "Suspend-VMReplication -VM $vm",
        "Get-VMNetworkAdapter -VM $vm | Disconnect-VMNetworkAdapter",
    ],
)
def test_a_reader_reads_and_changes_nothing(script: str) -> None:
    pair = Pair(rights={"reader": Rights.READER})
    assert pair.shell(A, about("$vm.Name"), user="reader") == ["gestionale"]
    before = pair.world.snapshot()["copies"]
    refused = pair.refuses(A, about(script), user="reader")
    assert refused.category == "PermissionDenied"
    assert pair.world.snapshot()["copies"] == before
    assert (pair.a.notes, pair.states()) == ("", ("Replicating", "Replicating"))


def test_messages_are_german_where_the_host_is_and_ids_are_not() -> None:
    german, english = Pair(culture="de-DE"), Pair()
    script = about("Set-VMReplication -VM $vm -Reverse")
    here, there = german.refuses(A, script), english.refuses(A, script)
    assert (here.id, here.category) == (there.id, there.category)
    assert here.message != there.message
    assert "virtuellen Computer" in here.message


def test_a_wrong_clock_shows_in_everything_the_host_writes_down() -> None:
    pair = Pair()
    pair.fleet.host(B).clock_skew_s = 7200.0
    now, last = pair.does(
        B,
        about(
            """(Get-Date).ToUniversalTime().ToString('o')
    (Get-VMReplication -VM $vm).LastReplicationTime.ToUniversalTime().ToString('o')"""
        ),
    )
    assert now == "2026-08-15T10:00:00.0000000Z"
    assert last == "2026-08-15T09:58:20.0000000Z"


def test_times_are_the_hosts_local_ones_until_they_are_turned() -> None:
    pair = Pair()
    assert pair.does(B, about("(Get-VMReplication -VM $vm).LastReplicationTime.ToString('o')")) == [
        "2026-08-15T09:58:20.0000000+02:00"
    ]
