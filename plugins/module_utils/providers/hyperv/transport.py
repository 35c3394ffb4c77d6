# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wire to one host: WinRM by pywinrm, one shell kept open, every operation one process in it, with time limits of its own.

``Transport`` is all that the client asks for, so that another library (pypsrp, for JEA) can take pywinrm's place. What a failure
means depends on when it came: the process acts only once its standard input has ended, so whatever failed before that can have
had no effect (NotSent), and whatever failed afterwards may have had it (Cut).
"""

from __future__ import annotations

import contextlib
import math
import re
import ssl
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import sdk
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.trust import Adapter, Line, endpoint_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import ForeignCertificate, NotSent

CONNECT_WITHIN_S = 6.0  # a host that is up accepts at once; a dead one must not cost half a minute
SHORTLY_S = 3.0
CHUNK_BYTES = 200_000  # in base64 within the 500 kB that a host takes in one envelope
CODE_PAGE = 65001
IDLE_TIMEOUT = "PT600S"  # a killed controller's shell goes away by itself then, instead of after two hours
QUOTA = 0x803381A6
PIPE_CLOSED = 0x800700E8  # ERROR_NO_DATA
MOST_OUTPUT_BYTES = 64 * 2**20
GO_AGAIN_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    stdout: bytes
    stderr: bytes
    exit_code: int


class Cut(Exception):
    """The job was sent, and its answer did not come: it may have had its effect."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Expired(Exception):
    """The job did not end in time; it was told to stop, and may have had its effect before."""

    def __init__(self, within_s: float) -> None:
        super().__init__(f"it did not end within {within_s:.0f} s and was stopped")


class Transport(t.Protocol):
    """Raises NotSent, Cut (of Expired too)."""

    calls: int  # HTTP requests so far

    def run(self, command: str, arguments: Sequence[str], stdin: bytes, *, within_s: float) -> Output: ...

    def close(self) -> None: ...


class WinrmTransport:
    """Implements ``Transport``; not to be used from two threads at once."""

    def __init__(self, spec: EndpointSpec, clock: Clock) -> None:
        self.calls = 0
        self._spec, self._clock = spec, clock
        self._protocol: t.Any = None
        self._shell: str | None = None
        self._orphans: list[str] = []  # shells that a silent host could not be told to close

    def run(self, command: str, arguments: Sequence[str], stdin: bytes, *, within_s: float) -> Output:
        deadline_s = self._clock.now_s() + within_s
        was_warm = self._shell is not None
        try:
            return self._run(command, arguments, stdin, within_s)
        except NotSent as not_sent:
            if not _may_go_again(not_sent.cause, was_warm=was_warm):
                self._forget(not_sent.cause)
                raise
            self._forget(not_sent.cause)
        if not was_warm:
            self._clock.sleep(GO_AGAIN_S)
        try:
            return self._run(command, arguments, stdin, max(1.0, deadline_s - self._clock.now_s()))
        except NotSent as not_sent:
            self._forget(not_sent.cause)
            raise

    def close(self) -> None:
        """Close the shell: a host lets a user have only so many. A host that fell silent is asked once more, shortly."""
        self._forget(None)
        if self._orphans:
            try:
                self._protocol = self._connect(SHORTLY_S)
                self._close_orphans()
            except (*sdk.FAILURES, BadInput):
                self._orphans.clear()  # it closes them by itself once they are idle for long
            finally:
                self._forget(None)

    # --- one process --------------------------------------------------------------------------------------------------

    def _run(self, command: str, arguments: Sequence[str], stdin: bytes, within_s: float) -> Output:
        deadline_s = self._clock.now_s() + within_s
        chunks = [stdin[at : at + CHUNK_BYTES] for at in range(0, len(stdin), CHUNK_BYTES)] or [b""]
        process: str | None = None
        try:
            wire, shell = self._open()
            process = wire.run_command(shell, command, arguments, console_mode_stdin=False, skip_cmd_shell=True)
            for chunk in chunks[:-1]:
                _send(wire, shell, process, chunk)
        except (*sdk.FAILURES,) as cause:
            self._end(process, cause)
            raise NotSent(cause) from cause
        cut: Exception | None = None
        try:
            _send(wire, shell, process, chunks[-1], end=True)
            return self._receive(wire, shell, process, deadline_s, within_s)
        except (*sdk.FAILURES, Expired) as cause:
            cut = cause
            if not isinstance(cause, Expired) and is_unconnected(cause):
                raise NotSent(cause) from cause
            raise Cut(cause) from cause
        except BaseException:  # this process itself is told to end
            cut = InterruptedError()
            raise
        finally:
            self._end(process, cut)
            if cut is not None and not isinstance(cut, Expired):
                self._forget(cut)

    def _receive(self, wire: t.Any, shell: str, process: str, deadline_s: float, within_s: float) -> Output:
        stdout, stderr = bytearray(), bytearray()
        usual_s = wire.operation_timeout_sec
        while True:
            # The host holds a Receive for as long as this says: no longer than there is time left
            left_s = deadline_s - self._clock.now_s()
            wire.operation_timeout_sec = max(1, min(usual_s, math.ceil(left_s)))
            try:
                out, err, code, is_done = wire.get_command_output_raw(shell, process)
            except sdk.OperationTimeout:
                out, err, code, is_done = b"", b"", -1, False
            finally:
                wire.operation_timeout_sec = usual_s
            stdout += out
            stderr += err
            if is_done:
                return Output(stdout=bytes(stdout), stderr=bytes(stderr), exit_code=code)
            if self._clock.now_s() >= deadline_s:
                raise Expired(within_s)
            if len(stdout) > MOST_OUTPUT_BYTES:
                raise OSError(f"its answer is longer than {MOST_OUTPUT_BYTES} bytes")

    def _end(self, process: str | None, cut: Exception | None) -> None:
        """Have the process end and its operation given back, where the host can still be told."""
        if process is None or self._shell is None or (cut is not None and is_deaf(cut)):
            return
        try:
            self._protocol.cleanup_command(self._shell, process)
        except (
            *sdk.FAILURES,
        ):  # what the process answered counts; a shell that cannot go on shows with its next command
            return

    # --- shell --------------------------------------------------------------------------------------------------------

    def _open(self) -> tuple[t.Any, str]:
        if self._protocol is None:
            self._protocol = self._connect()
        if self._shell is None:
            self._close_orphans()
            self._shell = self._protocol.open_shell(codepage=CODE_PAGE, noprofile=True, idle_timeout=IDLE_TIMEOUT)
        return self._protocol, self._shell

    def _forget(self, cause: Exception | None) -> None:
        """Drop shell and connections. A shell that the host may still hold is closed there, over a new connection if need be."""
        shell, protocol = self._shell, self._protocol
        self._shell = self._protocol = None
        if protocol is None:
            return
        protocol_used = protocol
        try:
            if shell is not None and cause is not None:
                self._orphans.append(shell)
                if not is_deaf(cause):
                    protocol.transport.close_session()  # with message encryption a new connection needs a new log-in
                    protocol_used = self._protocol = self._connect()
                    self._close_orphans()
            elif shell is not None:
                protocol.close_shell(shell, close_session=False)
        except (*sdk.FAILURES,):
            if shell is not None and shell not in self._orphans:
                self._orphans.append(shell)
        finally:
            self._protocol = None
            protocol_used.transport.close_session()

    def _close_orphans(self) -> None:
        """Close what was left behind. A shell that the host does not know any more is closed."""
        while self._orphans:
            with contextlib.suppress(sdk.WSManFaultError):
                self._protocol.close_shell(self._orphans[-1], close_session=False)
            self._orphans.pop()

    def _connect(self, within_s: float = 0.0) -> t.Any:
        spec = self._spec
        read_s = max(3, int(within_s or spec.timeout_s))
        adapter = Adapter(spec, self._count)  # first: what is wrong with the files that the endpoint names is told here
        endpoint = endpoint_of(spec)
        options = {
            "endpoint": endpoint,
            "transport": "ssl" if spec.winrm_transport == "basic" else spec.winrm_transport,
            "username": spec.api_user,
            "password": spec.api_password if spec.winrm_transport != "kerberos" else None,
            # pywinrm takes a certificate for the way to log in, whatever other way is named
            "cert_pem": spec.winrm_cert_path if spec.winrm_transport == "certificate" else None,
            "cert_key_pem": spec.winrm_key_path if spec.winrm_transport == "certificate" else None,
            "ca_trust_path": None,
            "server_cert_validation": "validate" if spec.validate_certs and not spec.tls_fingerprint else "ignore",
            "kerberos_hostname_override": spec.winrm_kerberos_host,
            "service": "HTTP",  # of the service principal; pywinrm's own transport has no default for it
            "proxy": None,
        }
        protocol = sdk.Protocol(
            read_timeout_sec=read_s, operation_timeout_sec=max(1, min(20, read_s * 2 // 3)), **options
        )
        auth = options.pop("transport")
        protocol.transport = Line(adapter, auth_method=auth, read_timeout_sec=read_s, **options)
        protocol.transport.read_timeout_sec = (min(float(read_s), CONNECT_WITHIN_S), float(read_s))
        return protocol

    def _count(self) -> None:
        self.calls += 1


# --- what a failure means --------------------------------------------------------------------------------------------


def causes_of(failure: BaseException) -> list[BaseException]:
    """Return a failure with all that it wraps: requests and urllib3 wrap errors in arguments, reasons and contexts."""
    found: list[BaseException] = []
    waiting: list[t.Any] = [failure]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and not any(one is known for known in found):
            found.append(one)
            waiting += [one.__cause__, getattr(one, "reason", None), getattr(one, "cause", None), *one.args]
            waiting += [] if one.__suppress_context__ else [one.__context__]
    return found


def foreign_certificate(failure: BaseException) -> ForeignCertificate | None:
    """Return a pin that does not fit, which urllib3 only tells in words."""
    for one in causes_of(failure):
        told = re.search(r'Fingerprints did not match. Expected "(\w+)", got "(\w+)"', str(one))
        if told:
            return ForeignCertificate(pinned=told[1], seen=told[2])
    return None


def is_unconnected(failure: BaseException) -> bool:
    """Tell whether there was no connection for the request to go over."""
    kinds = (sdk.NewConnectionError, sdk.ConnectTimeout, ssl.SSLCertVerificationError)
    return foreign_certificate(failure) is not None or any(isinstance(one, kinds) for one in causes_of(failure))


def is_deaf(failure: BaseException) -> bool:
    """Tell whether asking the host again would only wait again."""
    found = causes_of(failure)
    return (
        is_unconnected(failure)
        or any(isinstance(one, (TimeoutError, InterruptedError, sdk.InvalidCredentialsError)) for one in found)
        or any(type(one).__name__ == "ReadTimeout" for one in found)
    )


def is_quota(failure: BaseException) -> bool:
    return isinstance(failure, sdk.WSManFaultError) and QUOTA in (failure.wmierror_code, failure.wsman_fault_code)


def _send(wire: t.Any, shell: str, process: str, chunk: bytes, *, end: bool = False) -> None:
    """Send input. A process that has ended before it read any takes none; what it said of that is still to be fetched."""
    try:
        wire.send_command_input(shell, process, chunk, end=end)
    except sdk.WSManFaultError as fault:
        if PIPE_CLOSED not in (fault.wmierror_code, fault.wsman_fault_code):
            raise


def _may_go_again(cause: Exception, *, was_warm: bool) -> bool:
    """Tell whether a new shell over a new connection may do: the old ones may have died, or used up what a host allows."""
    if is_quota(cause):
        return True
    if is_deaf(cause):
        return was_warm and isinstance(cause, sdk.InvalidCredentialsError)
    if isinstance(cause, (sdk.WSManFaultError, sdk.WinRMTransportError)):
        return was_warm
    return isinstance(cause, OSError) or was_warm
