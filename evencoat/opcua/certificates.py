"""Certificates: this machine's own, made here, and the folder of those whose holders may connect.

A folder has `certificate.der`, `key.pem` (0600) and `trusted/`, one file a certificate, named by its fingerprint. Who
is not in there is refused before anything else is said: no authority is asked, a certificate is trusted or it is not.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from evencoat import private
from evencoat.atomic import write_whole

CERTIFICATE, KEY, TRUSTED = "certificate.der", "key.pem", "trusted"
KEY_BITS, KEY_BITS_LEAST, KEY_BITS_MOST = 3072, 2048, 4096  # what the security policies that are offered allow
DAYS, DAYS_MOST = 5 * 365, 20 * 365
SIZE_MAX = 65_536  # bytes of a file with a certificate or a key
FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")
USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
    key_cert_sign=True, key_agreement=False, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


class CertificateError(Exception):
    """A certificate, a key or their folder cannot be used; the text says which and why, and never shows a secret."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What people compare: SHA-256 of the certificate, whose it is, its application's URI, and its last day."""

    fingerprint: str
    name: str
    uri: str
    until: datetime

    @staticmethod
    def of(certificate: x509.Certificate) -> Certificate:
        """In words."""
        return Certificate(
            _fingerprint(_der(certificate)),
            certificate.subject.rfc4514_string(),
            application_uri(certificate),
            certificate.not_valid_after_utc,
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate of our own and its key, ready for use."""

    certificate_der: bytes
    key_pem: bytes
    uri: str


def make(
    folder: Path,
    name: str,
    hosts: Sequence[str],
    uri: str,
    days: int = DAYS,
    key_bits: int = KEY_BITS,
) -> Certificate:
    """A new key and its certificate, signed by itself. Raises CertificateError where there is one already, OSError."""
    if (folder / KEY).exists() or (folder / CERTIFICATE).exists():
        raise CertificateError(
            f"{folder}: has a certificate already; whoever trusts it would refuse a new one. Move it away first"
        )
    key = rsa.generate_private_key(public_exponent=65537, key_size=key_bits)
    certificate = _signed(key, name, hosts, uri, days)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    private.make(folder / KEY, secret)
    write_whole(folder / CERTIFICATE, _der(certificate))
    (folder / TRUSTED).mkdir(exist_ok=True, mode=0o700)
    return Certificate.of(certificate)


def read(folder: Path) -> Identity:
    """Our own certificate and key. Raises CertificateError: missing, not ours alone, expired, not a pair."""
    try:
        certificate = _certificate(_content(folder / CERTIFICATE), folder / CERTIFICATE)
    except FileNotFoundError:
        raise CertificateError(
            f"{folder / CERTIFICATE}: is not there; evencoat opcua certificate --to {folder} makes one"
        ) from None
    key_pem = read_secret(folder / KEY)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{folder / KEY}: is no private key in PEM ({type(error).__name__})") from None
    if key.public_key() != certificate.public_key():
        raise CertificateError(f"{folder}: {KEY} is not the key of {CERTIFICATE}")
    if why := _unfit(certificate):
        raise CertificateError(f"{folder / CERTIFICATE}: {why}")
    return Identity(_der(certificate), key_pem, application_uri(certificate))


def read_secret(path: Path) -> bytes:
    """A file that its owner alone may read. Raises CertificateError for any other, and never tells what is in it."""
    try:
        content = private.read(path, SIZE_MAX)
    except FileNotFoundError as error:
        raise CertificateError(f"{path}: {error.strerror}; expected a file of your own, no link") from error
    except private.NotPrivate as error:
        raise CertificateError(str(error)) from error
    if len(content) > SIZE_MAX:
        raise CertificateError(f"{path}: has more than {SIZE_MAX} bytes")
    return content


# --- whom we trust -----------------------------------------------------------------------------------------------


def trust(folder: Path, file: Path) -> Certificate:
    """Let the holder of a certificate (DER or PEM) connect. Raises CertificateError where it is none, or unfit."""
    certificate = _certificate(_content(file), file)
    if why := _unfit(certificate):
        raise CertificateError(f"{file}: {why}")
    told = Certificate.of(certificate)
    (folder / TRUSTED).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(folder / TRUSTED / f"{told.fingerprint}.der", _der(certificate))
    return told


def distrust(folder: Path, fingerprint: str) -> Certificate:
    """Take a certificate out, by the first eight or more digits of its fingerprint. Raises CertificateError."""
    if FINGERPRINT.fullmatch(fingerprint) is None:
        raise CertificateError(f"fingerprint {fingerprint[:80]!r}: must have 8 to 64 of 0-9 and a-f")
    found = [told for told in trusted(folder) if told.fingerprint.startswith(fingerprint)]
    if len(found) != 1:
        raise CertificateError(f"{folder / TRUSTED}: {len(found)} certificates begin with {fingerprint}")
    (folder / TRUSTED / f"{found[0].fingerprint}.der").unlink()
    return found[0]


def trusted(folder: Path) -> list[Certificate]:
    """Every certificate that is trusted. Raises CertificateError for a file that is none."""
    paths = sorted((folder / TRUSTED).glob("*.der"))
    return [Certificate.of(_certificate(_content(path), path)) for path in paths]


def refusal(folder: Path, der: bytes) -> str:
    """Why the holder of a certificate may not connect now; "" where it may. The folder is looked at anew each time."""
    fingerprint = _fingerprint(der)
    try:
        kept = _content(folder / TRUSTED / f"{fingerprint}.der")
        if kept != der:
            return f"certificate {fingerprint[:16]}: the file of that name is another one"
        why = _unfit(_certificate(kept, folder))
    except FileNotFoundError:
        return f"certificate {fingerprint[:16]} is not trusted"
    except (OSError, CertificateError) as error:
        return f"certificate {fingerprint[:16]} cannot be judged: {error}"
    return why and f"certificate {fingerprint[:16]}: {why}"


def der(file: Path) -> bytes:
    """A certificate out of a file, DER or PEM, as DER. Raises CertificateError."""
    try:
        return _der(_certificate(_content(file), file))
    except OSError as error:
        raise CertificateError(f"{file}: {error.strerror}") from error


def application_uri(certificate: x509.Certificate) -> str:
    """The URI in its subject's alternative names, "" where there is none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


# --- within ------------------------------------------------------------------------------------------------------


def _signed(key: rsa.RSAPrivateKey, name: str, hosts: Sequence[str], uri: str, days: int) -> x509.Certificate:
    """With what OPC UA (part 6, 6.2.2) asks of an application's certificate."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.UniformResourceIdentifier(uri), *map(_host, hosts)]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of a plant are not all right
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _unfit(certificate: x509.Certificate) -> str:
    """Why a certificate cannot be used now, "" where it can."""
    now, key = datetime.now(UTC), certificate.public_key()
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}: is this machine's clock right?"
    if not isinstance(key, rsa.RSAPublicKey) or not KEY_BITS_LEAST <= key.key_size <= KEY_BITS_MOST:
        return f"must have an RSA key of {KEY_BITS_LEAST} to {KEY_BITS_MOST} bits"
    return ""


def _certificate(content: bytes, path: Path) -> x509.Certificate:
    try:
        if content.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except ValueError as error:
        raise CertificateError(f"{path}: is no certificate, neither DER nor PEM") from error


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise CertificateError(f"{path}: has more than {SIZE_MAX} bytes")
    return content


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
