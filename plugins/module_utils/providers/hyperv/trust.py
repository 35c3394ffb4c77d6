# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom a client speaks to and over what: address, certificate or pin, one connection of our own without proxies or retries."""

from __future__ import annotations

import ssl
import typing as t
from collections.abc import Callable

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import sdk
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import parse_pin

PORTS = {"https": 5986, "http": 5985}


class Line(sdk.WireTransport):
    """pywinrm's transport over our adapter, from its very first request on."""

    def __init__(self, adapter: Adapter, **options: t.Any) -> None:
        super().__init__(**options)
        self._adapter = adapter

    def build_session(self) -> t.Any:
        is_new = self.session is None
        session = super().build_session()
        if is_new:
            self._mount(session)
        return session

    def setup_encryption(self, session: t.Any) -> None:
        self._mount(session)  # this sends the first request already
        super().setup_encryption(session)

    def close_session(self) -> None:
        super().close_session()
        self.encryption = None

    def _mount(self, session: t.Any) -> None:
        session.trust_env = False
        session.cert = None  # the adapter's context holds it
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)


class Adapter(sdk.HTTPAdapter):
    """One connection, no proxy, no retries, our own trust; counts requests, also those that a log-in adds."""

    def __init__(self, spec: EndpointSpec, count: Callable[[], None]) -> None:
        self._count = count
        self._pin = _pin_of(spec)
        self._trust: dict[str, t.Any] = {}
        if spec.winrm_scheme == "https":
            context = tls_context(spec, is_verified=spec.validate_certs and self._pin is None)
            self._trust = {"ssl_context": context, "assert_fingerprint": self._pin}
        super().__init__(max_retries=0, pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *sizes: t.Any, **options: t.Any) -> None:
        super().init_poolmanager(*sizes, **self._trust, **options)

    def get_connection_with_tls_context(self, request: t.Any, *trust: t.Any, **options: t.Any) -> t.Any:
        return self.poolmanager.connection_from_url(request.url)

    def get_connection(self, url: str, proxies: t.Any = None) -> t.Any:
        return self.poolmanager.connection_from_url(url)

    def cert_verify(self, *trust: t.Any, **options: t.Any) -> None:
        """The context has it all."""

    def send(self, request: t.Any, **options: t.Any) -> t.Any:
        self._count()
        return super().send(request, **options)


def endpoint_of(spec: EndpointSpec) -> str:
    return f"{spec.winrm_scheme}://{address_of(spec)}/wsman"


def address_of(spec: EndpointSpec) -> str:
    host = spec.api_host.strip("[]")
    return f"{f'[{host}]' if ':' in host else host}:{port_of(spec)}"


def port_of(spec: EndpointSpec) -> int:
    return spec.api_port or PORTS.get(spec.winrm_scheme, PORTS["https"])


def _pin_of(spec: EndpointSpec) -> str | None:
    return parse_pin(
        spec,
        next="what Windows calls a thumbprint is SHA-1 and will not do; take it from: openssl s_client -connect"
        f" {address_of(spec)} </dev/null | openssl x509 -noout -fingerprint -sha256",
    )


def tls_context(spec: EndpointSpec, *, is_verified: bool) -> ssl.SSLContext:
    """Build a context of this endpoint's own: urllib3 writes into what it is given."""
    try:
        context = ssl.create_default_context(cafile=spec.ca_path if is_verified else None)
    except OSError as cause:  # ssl.SSLError is one
        raise BadInput(
            what=f"read the CA file {spec.ca_path}",
            why=str(cause),
            next="let ca_path name a readable PEM file with the authority that issued the host's WinRM certificate, or pin"
            " that certificate with tls_fingerprint",
        ) from cause
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif spec.ca_path:
        # Python 3.13 is strict by default and then refuses many a company's own authority: extensions are missing
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if spec.winrm_transport == "certificate" and spec.winrm_cert_path:
        try:
            context.load_cert_chain(spec.winrm_cert_path, spec.winrm_key_path, password=lambda: "")
        except (OSError, ValueError) as cause:
            raise BadInput(
                what=f"read the client certificate {spec.winrm_cert_path}",
                why=str(cause),
                next="let winrm_cert_path and winrm_key_path name readable PEM files that belong together; the key must"
                " not be encrypted",
            ) from cause
    return context
