"""Certificates and their folder: what is made can be used, and trust is of a certificate's very bytes."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.opcua import certificates
from evencoat.opcua.certificates import CertificateError

BITS = certificates.KEY_BITS_LEAST


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki") / "own"
    certificates.make(made, "line", ["localhost", "127.0.0.1"], "urn:here:line", key_bits=BITS)
    return made


def curve_certificate(path: Path, days: int = 10) -> Path:
    """A certificate as others make them: of a curve, not of RSA."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=20))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def test_what_is_made_is_a_pair_with_uri_and_hosts_and_the_key_is_its_owner_s_alone(folder):
    own = certificates.read(folder)
    assert own.uri == "urn:here:line"
    assert (folder / certificates.KEY).stat().st_mode & 0o777 == 0o600
    made = x509.load_der_x509_certificate(own.certificate_der)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_second_certificate_does_not_replace_the_first(folder):
    with pytest.raises(CertificateError, match="already"):
        certificates.make(folder, "line", [], "urn:x", key_bits=BITS)


def test_a_key_that_others_may_read_is_refused(folder):
    os.chmod(folder / certificates.KEY, 0o640)
    try:
        with pytest.raises(CertificateError, match="chmod 600"):
            certificates.read(folder)
    finally:
        os.chmod(folder / certificates.KEY, 0o600)


def test_what_is_not_there_or_no_secret_is_told_by_its_name(tmp_path):
    with pytest.raises(CertificateError, match=r"certificate\.der: is not there"):
        certificates.read(tmp_path)
    with pytest.raises(CertificateError, match="no link"):
        certificates.read_secret(tmp_path / "password")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(CertificateError, match="no link"):
        certificates.read_secret(tmp_path / "link")


def test_trust_is_of_these_bytes_and_ends_when_they_are_taken_out(folder, tmp_path):
    own = certificates.read(folder)
    assert "is not trusted" in certificates.refusal(tmp_path, own.certificate_der)
    told = certificates.trust(tmp_path, folder / certificates.CERTIFICATE)
    assert certificates.refusal(tmp_path, own.certificate_der) == ""
    assert certificates.trusted(tmp_path) == [told]
    kept = tmp_path / certificates.TRUSTED / f"{told.fingerprint}.der"
    kept.write_bytes(own.certificate_der + b"x")
    assert "another one" in certificates.refusal(tmp_path, own.certificate_der)
    kept.write_bytes(own.certificate_der)
    for wrong in ("", "../..", "ABCDEF01", told.fingerprint[:7], "0" * 64):
        with pytest.raises(CertificateError):
            certificates.distrust(tmp_path, wrong)
    assert certificates.distrust(tmp_path, told.fingerprint[:8]) == told
    assert "is not trusted" in certificates.refusal(tmp_path, own.certificate_der)
    assert "is not trusted" in certificates.refusal(tmp_path, b"")


def test_certificates_that_no_policy_can_use_or_that_are_over_are_not_trusted(tmp_path):
    with pytest.raises(CertificateError, match="RSA key of 2048 to 4096 bits"):
        certificates.trust(tmp_path, curve_certificate(tmp_path / "curve.pem"))
    with pytest.raises(CertificateError, match="expired"):
        certificates.trust(tmp_path, curve_certificate(tmp_path / "old.pem", -1))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CertificateError, match="neither DER nor PEM"):
        certificates.trust(tmp_path, tmp_path / "text")


def test_the_command_line_trusts_and_distrusts(folder, tmp_path):
    def told(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["opcua", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    told("trust", str(folder / certificates.CERTIFICATE), "--in", str(tmp_path))
    line = told("trusted", "--in", str(tmp_path))
    assert "CN=line  urn:here:line" in line
    told("distrust", line[:16], "--in", str(tmp_path))
    assert "nobody can connect" in told("trusted", "--in", str(tmp_path))
    told("trust", str(tmp_path / "none"), "--in", str(tmp_path), code=1)
    told("distrust", "xyz", "--in", str(tmp_path), code=2)
    told("follow", "pilot-16", str(tmp_path), code=2)
    told("serve", str(tmp_path), "--certificates", str(tmp_path), code=2)
