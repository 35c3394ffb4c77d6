# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one guarded import of the libraries that speak to Hyper-V hosts; every other file of this provider takes their names from here.

Nothing here is used at import time, so that a controller without them can still load (and document) every module.
"""

from __future__ import annotations

import importlib.util
import traceback
import typing as t
from http.client import HTTPException
from xml.etree.ElementTree import ParseError

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput

__all__ = [
    "FAILURES",
    "ConnectTimeout",
    "CredsspRefusal",
    "HTTPAdapter",
    "InvalidCredentialsError",
    "NewConnectionError",
    "OperationTimeout",
    "Protocol",
    "WSManFaultError",
    "WinRMError",
    "WinRMTransportError",
    "WireTransport",
    "require_credssp",
    "require_kerberos",
    "require_pillow",
    "require_winrm",
]

IMPORT_ERROR: str | None = None

if t.TYPE_CHECKING:

    class WinRMError(Exception):
        """pywinrm's types do not hold under --strict: these are the few that are used."""

    class WSManFaultError(WinRMError):
        reason: str
        code: int
        wsman_fault_code: int | None
        wmierror_code: int | None

    class InvalidCredentialsError(WinRMError): ...

    class WinRMTransportError(Exception):
        code: int

    class OperationTimeout(Exception): ...

    class NewConnectionError(Exception): ...

    class ConnectTimeout(OSError): ...

    class SpnegoError(Exception): ...

    class CredsspError(Exception): ...

    class CredsspRefusal(Exception):
        status: int

    class WireTransport:
        session: t.Any
        encryption: t.Any
        read_timeout_sec: t.Any

        def __init__(self, **options: t.Any) -> None: ...
        def build_session(self) -> t.Any: ...
        def setup_encryption(self, session: t.Any) -> None: ...
        def close_session(self) -> None: ...

    class HTTPAdapter:
        poolmanager: t.Any

        def __init__(self, **options: t.Any) -> None: ...
        def init_poolmanager(self, *sizes: t.Any, **options: t.Any) -> None: ...
        def send(self, request: t.Any, **options: t.Any) -> t.Any: ...
        def close(self) -> None: ...

    Protocol: t.Any

else:
    try:
        from requests.adapters import HTTPAdapter
        from requests.exceptions import ConnectTimeout
        from spnego.exceptions import SpnegoError
        from urllib3.exceptions import NewConnectionError
        from winrm.exceptions import InvalidCredentialsError, WinRMError, WinRMTransportError, WSManFaultError
        from winrm.exceptions import WinRMOperationTimeoutError as OperationTimeout
        from winrm.protocol import Protocol
        from winrm.transport import Transport as WireTransport
    except ImportError:
        IMPORT_ERROR = traceback.format_exc()
        Protocol, HTTPAdapter, WireTransport = None, object, object
        # What an except clause names must be an exception
        WinRMError = WSManFaultError = InvalidCredentialsError = WinRMTransportError = OperationTimeout = ImportError
        ConnectTimeout = NewConnectionError = SpnegoError = ImportError
    try:  # pywinrm has loaded it already where it is there
        from requests_credssp.exceptions import AuthenticationException as CredsspError
        from requests_credssp.exceptions import NTStatusException as CredsspRefusal
    except ImportError:
        CredsspError = CredsspRefusal = ImportError

# All that a call may raise: of requests every exception is an OSError; pywinrm looks for elements with next(), and asserts.
# Unpacked where they are caught: ansible-test's pylint does not look through the name.
FAILURES = (
    OSError,
    HTTPException,
    WinRMError,
    WinRMTransportError,
    OperationTimeout,
    SpnegoError,
    CredsspError,
    CredsspRefusal,
    ParseError,
    StopIteration,
    AssertionError,
    UnicodeError,
    ValueError,
    LookupError,
)


def require_winrm() -> None:
    """Refuse to go on without the vendor's library, in Ansible's usual words."""
    if IMPORT_ERROR is not None:
        raise _missing("pywinrm", "open a Hyper-V host")


def require_kerberos() -> None:
    if importlib.util.find_spec("kerberos") is None:  # pywinrm carries the rest itself
        raise _missing("pywinrm[kerberos]", "open a Hyper-V host with Kerberos")


def require_credssp() -> None:
    if importlib.util.find_spec("requests_credssp") is None:
        raise _missing("pywinrm[credssp]", "open a Hyper-V host with CredSSP")


def require_pillow() -> t.Any:
    """Return Pillow's Image, which only the screen needs."""
    try:
        from PIL import Image
    except ImportError as cause:
        raise _missing("Pillow", "look at the screen of a VM") from cause
    return Image


def _missing(library: str, what: str) -> BadInput:
    from ansible.module_utils.basic import missing_required_lib

    return BadInput(
        what=what,
        why=missing_required_lib(library),
        next=f"pip install '{library}' for the Python that runs the modules (dr_runner), then run the same command",
    )
