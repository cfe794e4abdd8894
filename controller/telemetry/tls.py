"""TLS of the link: an authority that the operator makes for itself, and the server certificates it signs.

The authority lives in a Secret (ca.crt, ca.key); servers are given ca.crt alone. Times are wall-clock seconds.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 90
_BACKDATED = timedelta(minutes=5)
"""Clocks of nodes differ: a certificate made now must be valid on all of them."""
_REMEDY = "delete the Secret tidegate-ca, and the operator makes another"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """What signs the link's certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def from_pem(cls, secret: Mapping[str, bytes], now: float) -> Authority:
        """Return the authority of a Secret's decoded data.

        Raises:
            BadInputError: ca.crt or ca.key is missing, does not parse, has expired or belongs to another.
        """
        try:
            certificate = x509.load_pem_x509_certificate(secret.get("ca.crt", b""))
        except ValueError:
            raise BadInputError(f"Secret tidegate-ca: ca.crt needs a certificate in PEM; {_REMEDY}") from None
        if not _is_authority(certificate):
            raise BadInputError(f"Secret tidegate-ca: ca.crt needs a certificate of an authority; {_REMEDY}")
        try:
            key = serialization.load_pem_private_key(secret.get("ca.key", b""), None)
        except (ValueError, TypeError):  # TypeError: it needs a password
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadInputError(
                f"Secret tidegate-ca: ca.key needs an EC private key in PEM, without password; {_REMEDY}"
            )
        if key.public_key() != certificate.public_key():
            raise BadInputError(f"Secret tidegate-ca: ca.key does not belong to ca.crt; {_REMEDY}")
        if _at(now) >= certificate.not_valid_after_utc:
            raise BadInputError(
                f"Secret tidegate-ca: ca.crt expired {certificate.not_valid_after_utc:%Y-%m-%d}; {_REMEDY}"
            )
        return cls(certificate, key)

    def to_pem(self) -> dict[str, bytes]:
        """Return the Secret's data: ca.crt, which is public, and ca.key, which is not."""
        return {"ca.crt": _certificate_pem(self.certificate), "ca.key": _key_pem(self.key)}

    def issue(self, names: Sequence[str], now: float) -> Issued:
        """Return a server certificate for these DNS names, with a key of its own.

        Raises:
            BadInputError: no name is given, or one is no DNS name.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        except ValueError:
            alternatives = None
        if alternatives is None or not names or not all(names):
            raise BadInputError(f"certificate: needs DNS names in ASCII, got {list(names)}")
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        until = min(_at(now) + timedelta(days=CERTIFICATE_DAYS), self.certificate.not_valid_after_utc)
        builder = (
            _builder("tidegate controller", key, _at(now), until)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(alternatives, critical=False)
            .add_extension(signer, critical=False)
        )
        return Issued(builder.sign(self.key, hashes.SHA256()), key)


def make_authority(now: float) -> Authority:
    """Return a new authority for ten years; its key signs nothing but certificates of servers."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder("tidegate authority", key, _at(now), _at(now) + timedelta(days=AUTHORITY_DAYS))
    builder = (
        builder.issuer_name(_name("tidegate authority"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(digital_signature=False), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def is_due(certificate: x509.Certificate, now: float) -> bool:
    """Return whether a third or less of its lifetime is left: time for the next one."""
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - _at(now) <= lifetime / 3


def server_context(issued: Issued) -> ssl.SSLContext:
    """Return what a server listens with: TLS 1.2 and later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, issued)
    return context


def load(context: ssl.SSLContext, issued: Issued) -> None:
    """Show this certificate from the next connection on, also in a context that a server already listens with."""
    # Only OpenSSL's reader of files is within reach; the folder has mode 0700 and is gone at once.
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(_key_pem(issued.key) + _certificate_pem(issued.certificate))
        context.load_cert_chain(path)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _builder(name: str, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, digital_signature: bool) -> x509.KeyUsage:
    """Return the one use of a key: handshakes, or else the signing of certificates."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=not digital_signature,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _at(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)
