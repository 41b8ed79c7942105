"""`evencoat roll ...`: rolls of a journal and their passports. Words and exit codes live here, work does not.

Exit codes are those of evencoat.cli, which takes these verbs in: 0 done, or verified; 1 it failed while running; 2 the
call is wrong, or the file is no journal, passport or key of ours; 3 a passport that was changed, is signed by another
key, or is not signed at all. docs/passport.md says what a passport holds and what its figures are worth.
"""

from __future__ import annotations

import json
import math
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from evencoat.terminal import ANSWER_IS_NO, JsonOption, counting, out, print_json, refusals, say

if TYPE_CHECKING:
    from evencoat.passport import Made, Passport

app = typer.Typer(
    help="Rolls: what each weighs metre by metre, what to cut out, as a passport that is signed and can be verified.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

JournalArgument = Annotated[Path, typer.Argument(metavar="JOURNAL", help="A journal file.")]
RollOption = Annotated[int | None, typer.Option("--roll", help="Number of the roll; without it, the newest.")]
SystematicOption = Annotated[
    float | None,
    typer.Option(
        "--systematic-pct",
        min=0.0,
        max=20.0,
        help="Standard uncertainty common to all readings of the dry gauge, percent: calibration, drift, foil. "
        "Without it, accuracy_pct of [gauges.dry] in the line file, or 0.08.",
    ),
]
FoilOption = Annotated[
    float | None,
    typer.Option(
        "--foil-pct",
        min=0.0,
        max=20.0,
        help="What foil that varies along the web adds to a dry reading, one standard deviation, percent of target. "
        "Without it, foil_pct of [gauges.dry], or nothing.",
    ),
]
BoundOption = Annotated[
    float | None,
    typer.Option(
        "--scrap-bound",
        min=0.0001,
        max=0.9,
        help="Chance of being out of tolerance that makes a cell worth cutting out; of all ways to cut a lane the one "
        "is taken with the largest sum of (chance - this) over what goes. Without it, 0.06.",
    ),
]
PieceOption = Annotated[
    int | None,
    typer.Option(
        "--piece-m",
        min=1,
        max=1000,
        help="Shortest piece of a lane that is cut out, or left between two cuts, m; 1: single cells. Without it, 10.",
    ),
]
SamplesOption = Annotated[
    Path | None,
    typer.Option("--samples", help="Lab samples of this roll, a CSV file: see docs/passport.md for its columns."),
]
PunchOption = Annotated[
    float | None,
    typer.Option(
        "--punch-pct",
        min=0.0,
        max=5.0,
        help="Standard uncertainty of the area of the samples' punch, common to all of them, percent. "
        "Without it, 0.06.",
    ),
]
KeyArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A private key's file.")]


@app.command("list")
def list_rolls(
    journal: JournalArgument,
    most: Annotated[int, typer.Option("--most", min=1, max=100_000, help="So many, the newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The rolls of a journal, the newest first."""
    with _refusals():
        from evencoat.journal import JournalReader
        from evencoat.passport import rolls_of

        with JournalReader(journal) as reader:
            rows = [_listed(reader, roll) for roll in rolls_of(reader, most)]
    if as_json:
        print_json({"journal": str(journal), "rolls": rows})
        return
    table = Table("roll", "from, UTC", "to, UTC", "metres", "rows", box=None)
    for row in rows:
        table.add_row(str(row["roll"]), row["from_at"], row["to_at"], f"{row['web_m']:.0f}", str(row["rows"]))
    out.print(table)


@app.command()
def show(
    journal: JournalArgument,
    roll: RollOption = None,
    systematic_pct: SystematicOption = None,
    foil_pct: FoilOption = None,
    samples: SamplesOption = None,
    punch_pct: PunchOption = None,
    bound: BoundOption = None,
    piece_m: PieceOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the passport of a roll would say: figures, stretches out of tolerance with their causes, interventions."""
    assumed = {"systematic_pct": systematic_pct, "foil_pct": foil_pct, "bound": bound, "piece_m": piece_m}
    made = _made(journal, roll, assumed, not as_json, {}, (samples, punch_pct))
    if as_json:
        sys.stdout.write(made.record.model_dump_json(indent=2) + "\n")
        return
    record = made.record
    told, figures, by = record.identity, record.figures, record.interventions_by
    say(f"roll {told.roll} of {told.line}: {figures.coated_m:.0f} m coated, {figures.bare_m:.0f} m bare")
    say(f"sigma {_number(figures.sigma_total_pct)} %, Cpk {_number(figures.cpk)} at ±{record.target.tolerance_pct:g} %")
    say(f"along the web: {figures.harris_words}")
    say(f"interval: ±{_number(record.uncertainty.half_width_pct)} % (95 %); of it systematic, {_systematic(record)}")
    say(f"to cut out: {figures.scrap_m:.0f} m, {100.0 * figures.scrap_share:.2f} % of the area, in pieces of "
        f"{record.scrap_piece_m} m and more; cells in doubt: {100.0 * figures.doubtful_share:.2f} %")  # fmt: skip
    for one in record.stretches:
        say(f"  {one.from_m:.0f} to {one.to_m:.0f} m, lanes {one.first_lane} to {one.last_lane}, "
            f"worst {one.worst_pct:+.1f} %: {one.cause}")  # fmt: skip
    say(f"interventions: {by['person']} by people, {by['automation']} by automation, {by['evencoat']} by evencoat")
    for note in record.notes:
        say(note)


@app.command()
def export(
    journal: JournalArgument,
    to: Annotated[Path, typer.Option("--out", help="Folder to write; must not be there yet.")],
    roll: RollOption = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Private key to sign with (see new-key); without it, unsigned.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The roll's own name.")] = "",
    job_order: Annotated[str, typer.Option("--job-order", help="ISA-95 job order.")] = "",
    material_lot: Annotated[str, typer.Option("--material-lot", help="ISA-95 material lot.")] = "",
    systematic_pct: SystematicOption = None,
    foil_pct: FoilOption = None,
    samples: SamplesOption = None,
    punch_pct: PunchOption = None,
    bound: BoundOption = None,
    piece_m: PieceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a roll's passport: HTML with pictures, the map as Parquet, the record as JSON, and the seal.

    Parquet needs the extra `parquet`, signatures the extra `auth`.
    """
    with _refusals():
        from evencoat.passport import export as passport_export
        from evencoat.passport.signing import read_key

        signing_key = read_key(key) if key is not None else None
        assumed = {"systematic_pct": systematic_pct, "foil_pct": foil_pct, "bound": bound, "piece_m": piece_m}
        names = {"name": name, "job_order": job_order, "material_lot": material_lot}
        made = _made(journal, roll, assumed, not as_json, names, (samples, punch_pct))
        signer = passport_export.export(made, to, signing_key)
    if as_json:
        print_json({"out": str(to), "roll": made.record.identity.roll, "signed_by": signer or None})
    else:
        say(f"passport of roll {made.record.identity.roll} in {to}")
        say(f"signed with key {signer}" if signer else "NOT SIGNED: nobody vouches for it; --key FILE signs")


@app.command()
def verify(
    passport: Annotated[Path, typer.Argument(metavar="PASSPORT", help="A passport's folder.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The public key you trust; without it, any signature that holds counts."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check signature and every file of a passport. Exit code 3 where one does not hold, or nothing is signed."""
    with _refusals():
        from evencoat.passport import signing

        verdict = signing.verify(passport, signing.read_public(key) if key is not None else None)
    if as_json:
        print_json(
            {
                "passport": str(passport), "ok": verdict.ok, "signed": verdict.signed, "wrong": verdict.wrong,
                "file": verdict.file or None, "signed_by": verdict.fingerprint or None, "trusted": key is not None,
                "files": verdict.files, "about": verdict.about,
            }
        )  # fmt: skip
    elif verdict.wrong:
        say(f"does not hold: {verdict.wrong}")
    elif not verdict.signed:
        say(f"NOT SIGNED: the {verdict.files} files are as they were written, but nobody vouches for them")
    else:
        say(f"holds: {verdict.files} files, signed with key {verdict.fingerprint}")
        if key is None:
            say("the key came with the passport: compare it with your supplier's, or give theirs with --key")
    raise typer.Exit(0 if verdict.ok else ANSWER_IS_NO)


@app.command()
def schema() -> None:
    """Print the JSON Schema of passport.json."""
    from evencoat.passport import schema as passport_schema

    sys.stdout.write(json.dumps(passport_schema(), indent=2) + "\n")


@app.command("new-key")
def new_key(file: KeyArgument, as_json: JsonOption = False) -> None:
    """Make a private key to sign passports with (Ed25519), readable by you alone."""
    with _refusals():
        from evencoat.passport import signing

        made = signing.new_key(file)
    if as_json:
        print_json({"file": str(file), "fingerprint": made})
    else:
        say(f"{file}: made; fingerprint {made}")
        say(f"who verifies needs the public half: evencoat roll public-key {file}")


@app.command("public-key")
def public_key(file: KeyArgument) -> None:
    """Print the public half of a key, for those who verify."""
    with _refusals():
        from evencoat.passport import signing

        text = signing.public_text(signing.read_key(file).public_key())
    sys.stdout.write(text.decode())


def _made(
    journal: Path,
    roll: int | None,
    assumed: dict[str, Any],
    shown: bool,
    names: dict[str, Any],
    lab: tuple[Path | None, float | None],
) -> Made:
    """A passport. What is None in `assumed` is as usual; `lab` are a file of samples and its punch's uncertainty."""
    with _refusals():
        from evencoat.journal import JournalReader
        from evencoat.passport import Assumed, Told, make, read_samples, roll_named

        given = {key: value for key, value in assumed.items() if value is not None}
        file, punch_pct = lab
        if file is None and punch_pct is not None:
            raise typer.BadParameter("there are no --samples that were cut with it", param_hint="--punch-pct")
        samples = None
        if file is not None:
            samples = read_samples(file) if punch_pct is None else read_samples(file, punch_pct)
        with JournalReader(journal) as reader, counting("cycles", shown) as tell:
            return make(reader, roll_named(reader, roll), Told(**names, samples=samples), Assumed(**given), tell)


def _systematic(record: Passport) -> str:
    told, lab = record.uncertainty, record.lab
    if lab is None or told.systematic_left_pct is None:
        return f"assumed: {math.hypot(told.systematic_pct, told.foil_pct):g} % (one sigma)"
    return f"by {len(lab.discs)} lab samples: {told.systematic_left_pct:.2f} % (one sigma)"


def _listed(reader: Any, roll: Any) -> dict[str, Any]:
    from evencoat.keys import iso

    ends = reader.picked(("t_unix_s", "web_m"), (roll.first_row, roll.last_row))
    at = [iso(float(t)) if math.isfinite(t) else "" for t in ends["t_unix_s"]]
    return {
        "roll": roll.roll,
        "from_at": at[0],
        "to_at": at[-1],
        "web_m": float(ends["web_m"][-1] - ends["web_m"][0]),
        "first_row": roll.first_row,
        "last_row": roll.last_row,
        "rows": roll.last_row - roll.first_row + 1,
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _refusals() -> AbstractContextManager[None]:
    import sqlite3

    from evencoat.journal import JournalError
    from evencoat.passport import PassportError

    return refusals((JournalError, PassportError), (OSError, sqlite3.Error))
