# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Windows beside Hyper-V: the worker's event log, the firewall's rules, and what PowerShell says of itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import messages
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.cmdlets_common import context_of, is_pattern, play_only
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.events import LOG_NAME, PROVIDER, Event
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects import enum, of_class
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.operators import wildcard
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Hashtable, PSObject

_READER = "System.Diagnostics.Eventing.Reader."
_EMPTY_LOGS = ("System", "Application", "Microsoft-Windows-Hyper-V-VMMS-Admin")  # there, and nothing in them
_FILTERS = ("logname", "id", "starttime", "endtime", "level", "providername")
_LEVELS = {
    1: ("Critical", "Kritisch"),
    2: ("Error", "Fehler"),
    3: ("Warning", "Warnung"),
    4: ("Information", "Informationen"),
}
_NET_SECURITY = "Microsoft.PowerShell.Cmdletization.GeneratedTypes.NetSecurity."
_CONSOLE = "System.Management.Automation.Internal.Host.InternalHost"
_CULTURE = "System.Globalization.CultureInfo"
_POWERSHELL = "5.1.20348.2849"
_RULE = "Microsoft.Management.Infrastructure.CimInstance#root/standardcimv2/MSFT_NetFirewallRule"
# Name, kind of listener, display name and group in English and German; only the name is the same everywhere.
_RULES = (
    (
        "VIRT-HVRHTTPL-In-TCP-NoScope",
        "Kerberos",
        ("Hyper-V Replica HTTP Listener (TCP-In)", "Hyper-V Replica HTTP"),
        ("Hyper-V-Replikat HTTP-Listener (TCP eingehend)", "Hyper-V-Replikat HTTP"),
    ),
    (
        "VIRT-HVRHTTPSL-In-TCP-NoScope",
        "Certificate",
        ("Hyper-V Replica HTTPS Listener (TCP-In)", "Hyper-V Replica HTTPS"),
        ("Hyper-V-Replikat HTTPS-Listener (TCP eingehend)", "Hyper-V-Replikat HTTPS"),
    ),
)


def _error(bound: Bound, short: str, category: str, key: str, **words: object) -> PowerShellError:
    context = context_of(bound)
    return PowerShellError(
        messages.text(key, context.culture, host=context.host_name, **words),
        bound.error_id(short),
        category,
        exception_type="System.Exception",
        activity=bound.name,
    )


# --- Get-WinEvent ----------------------------------------------------------------------------------------------------


@cmdlet("Get-WinEvent")
def get_win_event(bound: Bound) -> Iterator[object]:
    """Show events, the newest first; an empty result is an error."""
    context = context_of(bound)
    if bound.set_name not in ("HashQuerySet", "GetLogSet") or bound.has("FilterXPath"):
        raise SimulatorError("the twin plays Get-WinEvent with -FilterHashtable or -LogName alone")
    if context.rights in (Rights.UNSEEN, Rights.DENIED):
        raise _error(bound, "UnauthorizedAccess", "PermissionDenied", "unauthorized")
    context.fleet.tick()
    if bound.has("FilterHashtable"):
        given = bound.get("FilterHashtable")
        filters = [item for item in (given if isinstance(given, list) else [given]) if isinstance(item, Hashtable)]
    else:
        filters = [Hashtable([("LogName", bound.get("LogName"))])]
    found: list[Event] = []
    for number, wanted in enumerate(filters):
        _check(bound, wanted)
        found += [e for e in context.fleet.events.on(context.host.name) if _fits(context, e, wanted) and e not in found]
        if number:
            found.sort(key=lambda e: (e.at_s, e.record), reverse=True)
    if bound.is_on("Oldest"):
        found.reverse()
    limit = bound.get("MaxEvents")
    if isinstance(limit, int):
        found = found[:limit]
    if not found:
        raise _error(bound, "NoMatchingEventsFound", "ObjectNotFound", "no_events")
    yield from (_record(context, event) for event in found)


def _check(bound: Bound, wanted: Hashtable) -> None:
    for key, dummy in wanted.items():
        if str(key).casefold() not in _FILTERS:
            raise SimulatorError(f"the twin does not play Get-WinEvent -FilterHashtable @{{{key}=...}}")
    if wanted.get("LogName") is None:
        raise SimulatorError("Get-WinEvent -FilterHashtable without a LogName")
    for name in _many(wanted.get("LogName")):
        if not any(wildcard(str(name)).fullmatch(known) for known in (LOG_NAME, *_EMPTY_LOGS)):
            raise _error(bound, "NoMatchingLogsFound", "ObjectNotFound", "no_log", name=name)


def _many(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _fits(context: Context, event: Event, wanted: Hashtable) -> bool:
    if not any(wildcard(str(name)).fullmatch(LOG_NAME) for name in _many(wanted.get("LogName"))):
        return False
    if wanted.has("Id") and event.id not in [int(str(number)) for number in _many(wanted.get("Id"))]:
        return False
    if wanted.has("Level") and event.level not in [int(str(number)) for number in _many(wanted.get("Level"))]:
        return False
    if wanted.has("ProviderName") and not any(
        wildcard(str(name)).fullmatch(PROVIDER) for name in _many(wanted.get("ProviderName"))
    ):
        return False
    at_s = event.at_s + context.host.clock_skew_s
    start, end = wanted.get("StartTime"), wanted.get("EndTime")
    return not (
        (start is not None and at_s < _seconds(context, start)) or (end is not None and at_s > _seconds(context, end))
    )


def _seconds(context: Context, moment: object) -> float:
    if not isinstance(moment, dt.datetime):
        raise SimulatorError(f"Get-WinEvent takes a [datetime], not {moment!r}: cast it")
    # without a kind it is the host's local time
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=context.zone)).timestamp()


def _record(context: Context, event: Event) -> PSObject:
    values = (event.vm_name, str(event.vm_id).upper(), *event.data)
    return of_class(
        _READER + "EventLogRecord",
        {
            "Id": event.id,
            "Version": 0,
            "Level": event.level,
            "LevelDisplayName": _LEVELS[event.level][messages.CULTURES.index(context.culture)],
            "RecordId": event.record,
            "ProviderName": PROVIDER,
            "LogName": LOG_NAME,
            "MachineName": context.host.name,
            "TimeCreated": context.local(event.at_s),
            "Properties": [of_class(_READER + "EventProperty", {"Value": value}) for value in values],
            "Message": messages.event_text(event, context.culture),
        },
        base=event,
    )


# --- Get-NetFirewallRule ---------------------------------------------------------------------------------------------


@cmdlet("Get-NetFirewallRule")
def get_net_firewall_rule(bound: Bound) -> Iterator[object]:
    """Show the rules of the Hyper-V Replica listeners; display names are in the host's language."""
    context = context_of(bound)
    if context.rights is Rights.DENIED:
        raise PowerShellError(
            messages.text("no_cim_rights", context.culture),
            "Windows System Error 5,Get-NetFirewallRule",
            "PermissionDenied",
            exception_type="Microsoft.Management.Infrastructure.CimException",
            activity=bound.name,
        )
    language = messages.CULTURES.index(context.host.culture)
    rules = {name: (listener, *texts[language]) for name, listener, *texts in _RULES}
    play_only(bound, "Name", "DisplayName", "DisplayGroup")
    asked = {name: bound.get(name) for name in ("Name", "DisplayName", "DisplayGroup") if bound.has(name)}
    if not asked:
        yield from (_rule(context, name, *rule) for name, rule in rules.items())
    for parameter, patterns in asked.items():
        for pattern in _many(patterns):
            fits = wildcard(str(pattern))
            found = [
                name
                for name, (dummy, display, group) in rules.items()
                if fits.fullmatch({"Name": name, "DisplayName": display, "DisplayGroup": group}[parameter])
            ]
            yield from (_rule(context, name, *rules[name]) for name in found)
            if not found and not is_pattern(str(pattern)):
                yield PowerShellError(
                    messages.text("no_firewall_rule", context.culture, property=parameter, name=pattern),
                    f"CmdletizationQuery_NotFound_{parameter},Get-NetFirewallRule",
                    "ObjectNotFound",
                    exception_type="Microsoft.PowerShell.Cmdletization.Cim.CimJobException",
                    activity=bound.name,
                )


def _rule(context: Context, name: str, listener: str, display: str, group: str) -> PSObject:
    is_open = listener in context.host.server.open_listeners
    return of_class(
        _RULE,
        {
            "Name": name,
            "InstanceID": name,
            "DisplayName": display,
            "DisplayGroup": group,
            "Description": "",
            "Group": "@%systemroot%\\system32\\vmms.exe,-210",
            "Enabled": enum(_NET_SECURITY + "Enabled", "True" if is_open else "False"),
            "Direction": enum(_NET_SECURITY + "Direction", "Inbound"),
            "Action": enum(_NET_SECURITY + "Action", "Allow"),
            "PolicyStoreSource": "PersistentStore",
        },
        text=name,
    )


# --- Get-Host ------------------------------------------------------------------------------------------------------------


@cmdlet("Get-Host")
def get_host(bound: Bound) -> Iterator[object]:
    """Show the console of powershell.exe, whose version is PowerShell's own."""
    culture = of_class(_CULTURE, {"Name": context_of(bound).culture}, text=context_of(bound).culture)
    yield of_class(
        _CONSOLE,
        {
            "Name": "ConsoleHost",
            "Version": _POWERSHELL,
            "CurrentCulture": culture,
            "CurrentUICulture": culture,
            "IsRunspacePushed": False,
        },
    )
