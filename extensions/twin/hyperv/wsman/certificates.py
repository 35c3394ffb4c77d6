# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What certificates say at a WinRM door: the host's own binds NTLM to its TLS, a client's names an account."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8, _SHORT = 0x0C, 0x80
_WEAK = ("md5", "sha1")
_AGE, _LIFE = datetime.timedelta(days=1), datetime.timedelta(days=365)


def end_point_binding(pem: bytes) -> bytes:
    """Compute what a client binds its NTLM to (RFC 5929, tls-server-end-point); ``pem`` begins with the leaf."""
    leaf = x509.load_pem_x509_certificate(pem)
    algorithm = leaf.signature_hash_algorithm
    digest = hashes.Hash(hashes.SHA256() if algorithm is None or algorithm.name in _WEAK else algorithm)
    digest.update(leaf.public_bytes(serialization.Encoding.DER))
    return b"tls-server-end-point:" + digest.finalize()


def upn_of(der: bytes) -> str:
    """Read the user principal name of a client's certificate; empty when it is not made for client authentication."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        return ""
    found = [n.value for n in names if isinstance(n, x509.OtherName) and n.type_id == UPN]
    return found[0][2:].decode("utf-8", errors="replace") if found and found[0][:1] == bytes([_UTF8]) else ""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The two files that a client shows (winrm_cert_path, winrm_key_path)."""

    cert_path: str
    key_path: str


class ClientAuthority:
    """The authority whose client certificates a host trusts, and the files of those that it has issued."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "twin client authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = (
            self._unsigned(self._name, self._key.public_key())
            .add_extension(basic, True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def trust_in(self, context: ssl.SSLContext) -> None:
        """Have a server ask its clients for a certificate of this authority, and go on without one."""
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=self.pem.decode())

    def issue(self, upn: str, folder: Path) -> ClientCertificate:
        """Write a client certificate for user@domain (user@localhost: a local account) and its key into the folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, upn)])
        encoded = upn.encode()
        if len(encoded) >= _SHORT:
            raise ValueError(f"{upn!r} is too long for a certificate of the twin")
        names = x509.SubjectAlternativeName([x509.OtherName(UPN, bytes([_UTF8, len(encoded)]) + encoded)])
        certificate = (
            self._unsigned(subject, key.public_key())
            .add_extension(names, False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
            .sign(self._key, hashes.SHA256())
        )
        cert, private = folder / f"{upn}.pem", folder / f"{upn}.key"
        private.touch(mode=0o600)
        cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=plain)
        )
        return ClientCertificate(str(cert), str(private))

    def _unsigned(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - _AGE,
            not_valid_after=now + _LIFE,
        )
