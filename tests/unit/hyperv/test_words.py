# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of the wire in ours, and the errors of a host by id and category, in whatever language they come."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from requests.exceptions import RequestException

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import client as client_module
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import events, faults, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.faults import Kind, NoSuchVm, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import bootstrap, every, reading
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.transport import Output
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.trust import address_of

SPEC = EndpointSpec(api_host="hv1", api_user="luca", api_password="pa55-of-nobody")
GET_VM = "Microsoft.HyperV.PowerShell.Commands.GetVM"
START = "Microsoft.HyperV.PowerShell.Commands.StartVMFailover"


# --- projections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("2026-08-15T02:14:00.0000000Z", 1786760040.0),
        ("2026-08-15T02:14:00.2500000Z", 1786760040.25),
        ("2026-08-15T04:14:00.0000000+02:00", 1786760040.0),
        ("2026-08-15T02:14:00Z", 1786760040.0),
        ("0001-01-01T00:00:00.0000000", None),
        ("1601-01-01T00:00:00.0000000Z", None),
        ("", None),
        (None, None),
        ("/Date(1786760040000)/", None),
    ],
)
def test_an_instant_is_read_as_dotnet_writes_it(text, at_s):
    assert wire.to_instant(text) == at_s


def test_an_instant_goes_there_and_back():
    assert wire.to_instant(wire.from_instant(1786760040.125)) == 1786760040.125


@pytest.mark.parametrize(
    ("text", "guid"),
    [
        ("9FD95098-819E-4F7D-8AEF-361693592FF1", "9fd95098-819e-4f7d-8aef-361693592ff1"),
        ("{9fd95098-819e-4f7d-8aef-361693592ff1}", "9fd95098-819e-4f7d-8aef-361693592ff1"),
        ("web'; Stop-VM *", ""),
        (None, ""),
    ],
)
def test_a_guid_has_one_form(text, guid):
    assert wire.to_guid(text) == guid


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("HV1", "hv1.luca.lan", True),
        ("hv1.luca.lan.", "HV1.LUCA.LAN", True),
        ("hv1.luca.lan", "hv1.other.lan", False),
        ("hv1", "hv10", False),
        ("", "", False),
    ],
)
def test_hosts_are_one_by_computer_name_or_full_name(one, other, is_same):
    assert wire.same_name(one, other) is is_same


@pytest.mark.parametrize(("value", "count"), [(None, 0), ({}, 0), ({"a": 1}, 1), ([{"a": 1}, {"b": 2}, "x"], 2)])
def test_a_list_of_one_may_have_become_an_object(value, count):
    assert len(wire.rows(value)) == count


@pytest.mark.parametrize(
    ("host", "port", "scheme", "address"),
    [
        ("hv1", None, "https", "hv1:5986"),
        ("hv1", None, "http", "hv1:5985"),
        ("2001:db8::7", None, "https", "[2001:db8::7]:5986"),
        ("[2001:db8::7]", 15986, "https", "[2001:db8::7]:15986"),
    ],
)
def test_an_endpoint_has_its_usual_port_and_an_address_its_brackets(host, port, scheme, address):
    assert address_of(EndpointSpec(api_host=host, api_port=port, winrm_scheme=scheme)) == address


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "category", "kind"),
    [
        (f"ObjectNotFound,{GET_VM}", "ObjectNotFound", Kind.NO_SUCH_VM),
        (f"InvalidParameter,{GET_VM}", "InvalidArgument", Kind.NO_SUCH_VM),
        (f"ObjectNotFound,{START}", "ObjectNotFound", Kind.NO_SUCH_THING),
        (f"InvalidState,{START}", "InvalidState", Kind.INVALID_STATE),
        (f"InvalidArgument,{START}", "InvalidArgument", Kind.INVALID_ARGUMENT),
        (f"OperationFailed,{START}", "NotSpecified", Kind.OTHER),
        ("ferragosto.dr.changed_meanwhile", "OperationStopped", Kind.CHANGED_MEANWHILE),
        ("ferragosto.dr.something_new", "OperationStopped", Kind.OTHER),
        ("", "", Kind.OTHER),
    ],
)
def test_an_error_is_what_its_id_and_category_say(identity, category, kind):
    for message in ("The operation failed.", "Der Vorgang konnte nicht ausgeführt werden."):
        found = faults.from_script("try", {"id": identity, "category": category, "message": message}, SPEC)
        assert isinstance(found, VendorFault)
        assert (found.kind, found.id, found.category) == (kind, identity, category)
        assert message in found.why
        assert isinstance(found, NoSuchVm) is (kind is Kind.NO_SUCH_VM)


def test_a_ticket_that_is_missing_is_no_dead_host():
    """pywinrm's own errors of Kerberos are those of a request, and a request that fails mostly means a silent host."""
    failure = type(
        "KerberosExchangeError", (RequestException,), {"__module__": "winrm.vendor.requests_kerberos.exceptions"}
    )
    told = faults.from_wire(
        "read the host", failure("authGSSClientStep() failed"), replace(SPEC, winrm_transport="kerberos")
    )
    assert isinstance(told, BadInput)
    assert "kinit" in told.next


@pytest.mark.parametrize(
    ("identity", "category"),
    [
        (f"AccessDenied,{START}", "PermissionDenied"),
        ("System.UnauthorizedAccessException,Microsoft.PowerShell.Commands.GetWinEventCommand", "NotSpecified"),
    ],
)
def test_a_missing_right_is_a_mistake_of_ours_that_names_the_group(identity, category):
    found = faults.from_script("try", {"id": identity, "category": category, "message": "Zugriff verweigert"}, SPEC)
    assert isinstance(found, BadInput)
    assert "Hyper-V Administrators" in found.next
    assert "luca" in found.next


def test_a_host_without_the_module_is_told_what_to_install():
    error = {"id": "CommandNotFoundException", "category": "ObjectNotFound", "message": "Get-VM ..."}
    assert "Hyper-V-PowerShell" in faults.from_script("try", error, SPEC).next


def test_what_looks_like_a_secret_is_taken_out():
    told = faults.clean("password=abc123 and pa55-of-nobody\nin two lines", SPEC)
    assert told == "password=<secret> and <secret> in two lines"


# --- the envelope -----------------------------------------------------------------------------------------------------


class Canned:
    def __init__(self, stdout=b"", stderr=b"", exit_code=0):
        self.output, self.calls = Output(stdout=stdout, stderr=stderr, exit_code=exit_code), 0

    def run(self, command, arguments, stdin, *, within_s):
        return self.output

    def close(self): ...


class Still:
    def now_s(self):
        return 1786760040.0

    def sleep(self, seconds): ...


def client(**words):
    said: list[str] = []
    made = Client(SPEC, clock=Still(), progress=said.append, transport=Canned(**words))
    return made, said


@pytest.mark.parametrize("stdout", [b"", b"no line of ours", b"<<<ferragosto.dr:###>>>", b"<<<ferragosto.dr:e30="])
@pytest.mark.parametrize("call", ["run", "act"])
def test_a_process_that_leaves_no_answer_may_have_had_its_effect(stdout, call):
    made, _said = client(
        stdout=stdout, stderr=b'#< CLIXML\r\n<Objs><S S="Error">boom_x000D__x000A_</S></Objs>', exit_code=1
    )
    with pytest.raises(ProviderFault, match="boom") as told:
        getattr(made, call)(reading.MACHINE, id="x")
    assert told.value.is_answer_lost


@pytest.mark.parametrize("width", [2, 17, 80, 1000])
def test_an_answer_may_come_among_other_words_and_broken_into_lines(width):
    body = b"eyJvayI6dHJ1ZSwiZGF0YSI6eyJhIjoxfSwibm93IjoiMjAyNi0wOC0xNVQwMjoxNDowMi4wMDAwMDAwWiJ9"
    line = b"<<<ferragosto.dr:" + body + b">>>"
    broken = b"\r\n".join(line[at : at + width] for at in range(0, len(line), width))
    made, _said = client(stdout=b"WARNING: x\r\n" + broken + b"\r\n")
    assert made.run(reading.MACHINE, id="x") == {"a": 1}
    assert made.clock_offset_s == pytest.approx(2.0)


def test_a_log_that_is_closed_to_the_account_is_told():
    made, said = client()
    vm = Vm(id="x", handle="x", name="web", host="hv1.luca.lan", power=Power.ON)
    events.say_unread(made, vm, {"unread": "Access is denied"})
    assert "Event Log Readers" in said[0]
    events.say_unread(made, vm, {"unread": ""})
    assert len(said) == 1


# --- the library ------------------------------------------------------------------------------------------------------

WITHOUT_PYWINRM = """
import importlib, sys
for name in ("winrm", "requests", "urllib3", "spnego", "PIL"):
    sys.modules[name] = None
base = "ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv."
for name in sys.argv[1:]:
    importlib.import_module(base + name)
client = sys.modules[base + "client"]
spec = sys.modules["ansible_collections.ferragosto.dr.plugins.module_utils.core.ports"].EndpointSpec(api_host="hv1")
try:
    client.Client(spec, clock=None, progress=print).run(client.Script(name="x", text=""))
except Exception as refusal:
    print(type(refusal).__name__, refusal)
"""


def test_without_its_library_every_file_loads_and_the_first_use_says_what_to_install():
    names = [path.stem for path in sorted(Path(client_module.__file__).parent.glob("*.py"))]
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYWINRM, *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("BadInput")
    assert "pip install 'pywinrm'" in told.stdout


# --- scripts ----------------------------------------------------------------------------------------------------------


def test_the_command_line_is_far_below_what_createprocess_takes():
    assert len(" ".join((bootstrap.EXECUTABLE, *bootstrap.ARGUMENTS))) < 16000


def test_every_script_takes_its_values_as_one_object():
    assert all(script.text.startswith("param($p)\n") for script in every.ALL)


def test_check_mode_shows_the_lines_with_their_values():
    script = Script(name="x", text="", shown=("Set-VM -VM $p.id -Notes $p.new -Force:$p.force", "Get-VM"))
    assert script.calls("hv1", id="a'b", new=None, force=True) == (
        "hv1: Set-VM -VM 'a''b' -Notes $null -Force:$true",
        "hv1: Get-VM",
    )
