"""A passport written out: a folder with passport.json, passport.html, map.parquet, lab samples where there
were any, and its seal.

The folder appears whole or not at all. Only evencoat.passport and its commands import this.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evencoat.passport.build import Made
from evencoat.passport.web import PassportError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

RECORD, PAGE, MAP, SAMPLES = "passport.json", "passport.html", "map.parquet", "samples.csv"
ROWS_AT_ONCE = 2000


def export(made: Made, folder: Path, key: Ed25519PrivateKey | None) -> str:
    """Write a passport into a folder that is not there yet; returns the signer's fingerprint, "" where unsigned.

    Raises PassportError where the folder is there, or Parquet is not to be had; OSError.
    """
    from evencoat.passport import signing
    from evencoat.passport.page import page

    if folder.exists():
        raise PassportError(f"{folder}: is there already; a passport is written once, into a folder of its own")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        signer = "" if key is None else signing.fingerprint(key.public_key())
        (part / RECORD).write_text(made.record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (part / PAGE).write_text(page(made, signer), encoding="utf-8")
        write_map(made, part / MAP)
        if made.samples is not None:
            (part / SAMPLES).write_bytes(made.samples.content)
        signing.seal(part, _about(made), key)
        _settle(part)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return signer


def _about(made: Made) -> dict[str, Any]:
    told, run = made.record.identity, made.record.run
    return {
        "line": told.line,
        "roll": told.roll,
        "name": told.name,
        "journal_id": run.journal_id,
        "audit_head": f"{run.audit_head_seq}:{run.audit_head}",
    }


def _settle(part: Path) -> None:
    """On the disk, and readable as any file of this person's is."""
    for path in [*part.iterdir(), part]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    umask = os.umask(0)
    os.umask(umask)
    part.chmod(0o777 & ~umask)


def write_map(made: Made, path: Path) -> None:
    """A row a metre; lists with an entry a zone. Percent is of the target of when the metre left the die."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise PassportError("map.parquet needs the extra parquet: pip install 'evencoat[parquet]'") from None
    zones = pyarrow.list_(pyarrow.float32())
    schema = pyarrow.schema(
        [
            ("metre", pyarrow.int32()),
            ("web_m", pyarrow.float64()),
            ("t_unix_s", pyarrow.float64()),
            ("coated", pyarrow.bool_()),
            ("batch", pyarrow.int64()),
            ("target_gsm", zones),
            ("areal_density_gsm", zones),
            ("deviation_pct", zones),
            ("half_width_pct", zones),
            ("chance_out", zones),
            ("scans", zones),
            ("scrap", pyarrow.list_(pyarrow.bool_())),
        ],
        metadata={"evencoat_passport": json.dumps(_about(made))},
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, made.web.metres, ROWS_AT_ONCE):
            writer.write_table(pyarrow.table(_columns(made, slice(first, first + ROWS_AT_ONCE)), schema=schema))


def _columns(made: Made, rows: slice) -> dict[str, Any]:
    web, roll_map = made.web, made.roll_map
    target = web.line.target_profile_gsm * web.laid.target_ratio[rows, None]
    log = roll_map.log[rows].astype(np.float64)
    metre = np.arange(web.metres, dtype=np.int32)[rows]
    systematic = np.broadcast_to(roll_map.systematic, roll_map.log.shape)[rows]
    sigma = np.sqrt(roll_map.random[rows].astype(np.float64) ** 2 + systematic**2)
    return {
        "metre": metre,
        "web_m": web.first_m + metre.astype(np.float64),
        "t_unix_s": web.laid.t_unix_s[rows],
        "coated": roll_map.coated[rows],
        "batch": web.laid.batch[rows],
        "target_gsm": list(target.astype(np.float32)),
        "areal_density_gsm": list((target * np.exp(log)).astype(np.float32)),
        "deviation_pct": list((100.0 * np.expm1(log)).astype(np.float32)),
        "half_width_pct": list((196.0 * sigma).astype(np.float32)),
        "chance_out": list(made.chance[rows]),
        "scans": list(roll_map.seen[rows]),
        "scrap": list(made.marked[rows]),
    }
