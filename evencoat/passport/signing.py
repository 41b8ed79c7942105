"""A passport's seal: a manifest with the SHA-256 of every file, signed with Ed25519, and whether it all still holds.

manifest.json is canonical JSON: keys sorted, no spaces, no escapes but JSON's own, a line feed at its end. It holds
the hash of every file beside it, the signature covers every byte of it, and the signature's and the public key's files
have one form each: whatever byte is changed, `verify` finds it. Nobody but evencoat.passport imports this.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evencoat import private
from evencoat.passport.web import PassportError

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:  # pragma: no cover - said where somebody asks for a key
    raise PassportError("keys and signatures need the extra auth: pip install 'evencoat[auth]'") from error

FORMAT = 1
MANIFEST, SIGNATURE, PUBLIC_KEY = "manifest.json", "manifest.sig", "public.pem"
MANIFEST_SIZE_MAX = 100_000
PART = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verify found. wrong: what does not hold first, "" where all does; fingerprint: of the key, "" unsigned."""

    signed: bool
    wrong: str
    file: str
    fingerprint: str
    files: int
    about: dict[str, Any]

    @property
    def ok(self) -> bool:
        return self.signed and not self.wrong


class _Broken(Exception):
    """What does not hold, and in which file."""

    def __init__(self, file: str, words: str) -> None:
        self.file = file
        super().__init__(f"{file}: {words}")


# --- keys --------------------------------------------------------------------------------------------------------


def new_key(path: Path) -> str:
    """Make a private key, readable by its owner alone; returns its fingerprint. Raises PassportError."""
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        private.make(path, text)
    except FileExistsError:
        raise PassportError(f"{path}: is there already; a new key needs a new file") from None
    return fingerprint(key.public_key())


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key of a file. Raises PassportError: missing, not ours alone, or no such key."""
    try:
        data = private.read(path, MANIFEST_SIZE_MAX)
    except FileNotFoundError:
        raise PassportError(f"key file {path}: is not there; evencoat roll new-key {path} makes one") from None
    except private.NotPrivate as error:
        raise PassportError(f"key file {error}") from error
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # never the text of the file: it is secret
        raise PassportError(f"key file {path}: is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PassportError(f"key file {path}: is no Ed25519 key")
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """A public key that somebody trusts. Raises PassportError; OSError."""
    return _public(path.read_bytes(), str(path))


def public_text(key: Ed25519PublicKey) -> bytes:
    """A public key as its file holds it."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the 32 bytes of a public key: by it two people compare keys."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


def _public(data: bytes, where: str) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PassportError(f"{where}: is no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise PassportError(f"{where}: is no Ed25519 key")
    return key


# --- the seal ----------------------------------------------------------------------------------------------------


def seal(folder: Path, about: dict[str, Any], key: Ed25519PrivateKey | None) -> str:
    """Write manifest, signature and public key beside a folder's files; returns the fingerprint, "" without a key."""
    signer = "" if key is None else fingerprint(key.public_key())
    if key is not None:
        (folder / PUBLIC_KEY).write_bytes(public_text(key.public_key()))
    files = {path.name: _told(path) for path in sorted(folder.iterdir())}
    told = {
        "evencoat_passport": FORMAT,
        "about": about,
        "sealed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "signed_by": signer,
        "files": files,
    }
    manifest = _canonical(told)
    (folder / MANIFEST).write_bytes(manifest)
    if key is not None:
        (folder / SIGNATURE).write_bytes(key.sign(manifest).hex().encode() + b"\n")
    return signer


def verify(folder: Path, trusted: Ed25519PublicKey | None = None) -> Verdict:
    """Whether a passport is what was sealed, by whom. With `trusted` only that key's signature counts.

    The signature is looked at first, then every file in the order of the manifest. Raises PassportError where the
    folder holds no passport at all; OSError.
    """
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise PassportError(f"{folder}: holds no {MANIFEST}, so it is no passport") from None
    try:
        told = _read(manifest)
    except ValueError as error:
        return Verdict(False, f"{MANIFEST}: {error}", MANIFEST, "", 0, {})
    signer, files, about = told["signed_by"], told["files"], told["about"]
    wrong = file = ""
    try:
        _signature(folder, manifest, signer, trusted)
        _files(folder, files, bool(signer))
    except _Broken as broken:
        wrong, file = str(broken), broken.file
    return Verdict(bool(signer), wrong, file, signer, len(files), about)


def _read(manifest: bytes) -> dict[str, Any]:
    if len(manifest) > MANIFEST_SIZE_MAX:
        raise ValueError(f"has {len(manifest)} bytes, at most {MANIFEST_SIZE_MAX}")
    try:
        told = json.loads(manifest)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(told, dict) or told.get("evencoat_passport") != FORMAT:
        raise ValueError(f"is no manifest of form {FORMAT}")
    signer, files, about = told.get("signed_by"), told.get("files"), told.get("about")
    if not (isinstance(signer, str) and isinstance(files, dict) and isinstance(about, dict)):
        raise ValueError("lacks signed_by, files or about")
    try:
        canonical = _canonical(told)
    except ValueError:
        canonical = b""
    if canonical != manifest:
        raise ValueError("is not in canonical form")
    return told


def _signature(folder: Path, manifest: bytes, signer: str, trusted: Ed25519PublicKey | None) -> None:
    """Raises _Broken where the signature does not hold, or none was promised and a trusted one is asked for."""
    if not signer:
        if trusted is not None:
            raise _Broken(MANIFEST, "is not signed, so not by the key you trust")
        return
    key = _key_of(folder, signer, trusted)
    written = _part(folder, SIGNATURE)
    try:
        signature = bytes.fromhex(written.decode("ascii"))
    except ValueError:
        raise _Broken(SIGNATURE, "is no signature in hexadecimal digits") from None
    if signature.hex().encode() + b"\n" != written:
        raise _Broken(SIGNATURE, "is not written as signatures are")
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        raise _Broken(MANIFEST, f"does not match {SIGNATURE}") from None


def _key_of(folder: Path, signer: str, trusted: Ed25519PublicKey | None) -> Ed25519PublicKey:
    try:
        key = _public(_part(folder, PUBLIC_KEY), PUBLIC_KEY)
    except PassportError:
        raise _Broken(PUBLIC_KEY, "is no public key") from None
    if fingerprint(key) != signer:
        raise _Broken(PUBLIC_KEY, "is not the key that the manifest names")
    if trusted is not None and fingerprint(trusted) != signer:
        raise _Broken(PUBLIC_KEY, "is not the key you trust")
    return key


def _part(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        raise _Broken(name, "is missing, though the manifest says that it is signed") from None


def _files(folder: Path, files: dict[str, Any], signed: bool) -> None:
    there = {path.name for path in folder.iterdir()} - {MANIFEST} - ({SIGNATURE} if signed else set())
    for name, told in files.items():
        if name not in there:
            raise _Broken(name, "is missing")
        if _told(folder / name) != told:
            raise _Broken(name, "was changed after it was sealed")
    for name in sorted(there - set(files)):
        raise _Broken(name, "was put in after the passport was sealed")


def _told(path: Path) -> dict[str, Any]:
    """Size and hash of a file, read a part at a time. A link or a folder is no file of a passport."""
    if path.is_symlink() or not path.is_file():
        return {"bytes": -1, "sha256": ""}
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(PART):
            digest.update(part)
            size += len(part)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _canonical(told: dict[str, Any]) -> bytes:
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"
