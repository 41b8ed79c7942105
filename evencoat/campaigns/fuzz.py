"""Every decoder is fed what nobody should send it: it may refuse by its own named error, and nothing else may happen.

What is fed is made of the real thing (frames of the line, its DBC, line file, scenario, model, key file, a journal, a
snapshot and logs of a short run) by flipping, cutting, repeating, moving and overwriting parts, and putting words into
text that readers trip over. An input that made anything else than the named error is kept in the campaign's folder.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controller.line.command import Mode
from controller.loop import Loop, Sink
from controller.restart import kept
from evencoat import keys
from evencoat.campaigns.frame import Judgement, Row, Trial
from evencoat.guest import network_of
from evencoat.journal import CycleJournal, JournalError, JournalReader, NoSink
from evencoat.league.rivals import Rival
from evencoat.model_store import ModelStore, ModelStoreError, default_folder, load_model
from evencoat.settings import SettingsError, find_line, load_line, read_line
from evencoat.simulate import Plan, SimulatedLine
from evencoat.snapshot import file as snapshot
from evencoat.snapshot.file import Identity, SnapshotError
from evencoat.wire_checker import SignalTable, check_log
from firmware_bridge.authentication import AuthenticationError
from firmware_bridge.bus import BusError
from firmware_bridge.bus_replay import ReplayBus, write_log
from firmware_bridge.codec import Codec
from firmware_bridge.contract import WireDescription, WireError
from firmware_bridge.frames import Frame
from plant_sim.errors import ScenarioError
from plant_sim.faults import DRIFTS
from plant_sim.scenario import SHIPPED, Scenario, parse

LINE, SECONDS = "pilot-16", 12.0
ROUNDS, QUICK_ROUNDS = 100, 1
FRAMES_A_CYCLE = 60
PATIENCE_S = 20.0  # with one input: a decoder that goes on for ever is a crash like any other
WORDS = (
    b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"1e-300", b"99999999999999999999", b'"', b"'", b"[[", b"]]", b"{",
    b"=", b"\n", b"\x00", b"\xff\xfe", b"\xf0\x9f\x92\xa5", b"true", b"0x", b"\r", b"#", b":", b"::", b"@", b"|", b","
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decoder:
    """What is fed, how many inputs a trial has, and the errors by which it may refuse."""

    name: str
    cases: int
    errors: tuple[type[Exception], ...]
    samples: tuple[bytes, ...]
    suffix: str
    read: Callable[[Path], object]


class Fuzz:
    """The campaign."""

    name = "fuzz"
    summary = "frames, DBC, TOML, models, snapshots, keys, journals and logs spoilt: no crash, only named errors"

    def trials(self, quick: bool) -> int:
        return len(NAMES) * (QUICK_ROUNDS if quick else ROUNDS)

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """A short run makes the samples."""
        for left in folder.glob("crash-*") if anew else ():
            left.unlink()
        samples = folder / "samples"
        samples.mkdir(exist_ok=True)
        decoders = _decoders(samples)
        live = _Live()

        def trial(k: int, rng: np.random.Generator) -> Row:
            name = NAMES[k % len(NAMES)]
            return live.fed(k, rng) if name == FRAMES else fed(decoders[name], k, rng, folder)

        yield trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """No input may do anything but be read or be refused by name."""
        names = list(dict.fromkeys(row["decoder"] for row in rows))
        table = [_of(name, [row for row in rows if row["decoder"] == name]) for name in names]
        figures: dict[str, Any] = {
            "inputs": sum(row["inputs"] for row in rows),
            "crashes": sum(len(row["crashes"]) for row in rows),
            "table": table,
        }
        broken = sorted({f"{row['decoder']}: {words}" for row in rows for words in row["crashes"]})
        return Judgement(figures, {"crashes": 0}, tuple(broken))


def _of(name: str, rows: Sequence[Row]) -> Row:
    return {
        "decoder": name,
        "inputs": sum(row["inputs"] for row in rows),
        "refused": sum(row["refused"] for row in rows),
        "crashes": sum(len(row["crashes"]) for row in rows),
        "slowest_s": max(row["slowest_s"] for row in rows),
    }


def spoilt(sample: bytes, rng: np.random.Generator) -> bytes:
    """A sample with one to five things wrong."""
    data = bytearray(sample)
    for _ in range(int(rng.integers(1, 6))):
        at, length = (int(rng.integers(len(data) + 1)) for _ in range(2))
        until = min(at + 1 + int(length ** rng.random()), len(data))
        match int(rng.integers(7)):
            case 0 if data:
                data[at % len(data)] ^= 1 << int(rng.integers(8))
            case 1:
                data[at:until] = rng.bytes(until - at)
            case 2:
                del data[at:until]
            case 3:
                data[at:at] = data[at:until] * int(rng.integers(1, 4))
            case 4:
                del data[at:]
            case 5:
                data[at : at + int(rng.integers(4))] = WORDS[int(rng.integers(len(WORDS)))]
            case _:
                piece = bytes(data[at:until])
                data[length:length] = piece
    return bytes(data)


def fed(decoder: Decoder, k: int, rng: np.random.Generator, folder: Path) -> Row:
    """So many spoilt samples, each in a file, to one decoder."""
    refused, slowest_s, crashes = 0, 0.0, set[str]()
    path = folder / f"input{decoder.suffix}"
    for case in range(decoder.cases):
        data = spoilt(decoder.samples[int(rng.integers(len(decoder.samples)))], rng)
        for beside in folder.glob(f"{path.name}-*"):  # of a journal
            beside.unlink()
        path.write_bytes(data)
        path.chmod(0o600)
        began_s = time.perf_counter()
        try:
            with within(PATIENCE_S):
                decoder.read(path)
        except decoder.errors:
            refused += 1
        except (Exception, TooLong) as error:  # whatever it is, it is what this campaign looks for
            crashes.add(_words(error))
            (folder / f"crash-{decoder.name.replace(' ', '-')}-{k}-{case}{decoder.suffix}").write_bytes(data)
        slowest_s = max(slowest_s, time.perf_counter() - began_s)
    for beside in folder.glob(f"{path.name}*"):
        beside.unlink()
    return _row(decoder.name, decoder.cases, refused, crashes, slowest_s)


def _row(name: str, inputs: int, refused: int, crashes: set[str], slowest_s: float) -> Row:
    words = f"{name}: {refused} of {inputs} refused{f', {len(crashes)} ways to crash' if crashes else ''}"
    told = {"decoder": name, "inputs": inputs, "refused": refused, "crashes": sorted(crashes)}
    return {**told, "slowest_s": round(slowest_s, 3), "words": words}


class TooLong(BaseException):
    """Nobody's to catch but the campaign's, or a decoder's own would hide it."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises TooLong from wherever the code within is after so many seconds; in the main thread."""

    def over(_: int, frame: object) -> None:
        raise TooLong(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _words(error: BaseException) -> str:
    place, tail = "", error.__traceback__
    while tail is not None:
        place = f"{Path(tail.tb_frame.f_code.co_filename).name}:{tail.tb_lineno}"
        tail = tail.tb_next
    return f"{type(error).__name__} at {place}: {str(error)[:120]}"


# --- frames, to a line that runs ---------------------------------------------------------------------------------

FRAMES = "CAN frames"


class _Live:
    """Port, loop, nodes and checker of a line in lockstep, on whose bus anything is said."""

    CYCLES = 100

    def __init__(self) -> None:
        self._line = _running()
        self._bus = self._line.hub.attach()
        self._heard: list[Frame] = []
        self._line.hub.tap(self._remember)
        self._line.play(1.0 / 60.0)

    def _remember(self, frame: Frame) -> None:
        if len(self._heard) < 5000:
            self._heard.append(frame)

    def fed(self, k: int, rng: np.random.Generator) -> Row:
        """Spoilt frames between the living ones."""
        crashes, slowest_s = set[str](), 0.0
        for _ in range(self.CYCLES):
            began_s = time.perf_counter()
            try:
                with within(PATIENCE_S):
                    for _ in range(FRAMES_A_CYCLE):
                        self._bus.send(_strange(self._heard[int(rng.integers(len(self._heard)))], rng))
                    self._line.play(self._line.cycle_s / 60.0)
            except (Exception, TooLong) as error:  # whatever it is, it is what this campaign looks for
                crashes.add(_words(error))
            slowest_s = max(slowest_s, time.perf_counter() - began_s)
        self._bus.receive()
        return _row(FRAMES, self.CYCLES * FRAMES_A_CYCLE, 0, crashes, slowest_s)


def _strange(frame: Frame, rng: np.random.Generator) -> Frame:
    """A frame of the line, spoilt, or under any identifier, or with other flags."""
    if rng.random() < 0.7:
        frame = frame._replace(data=spoilt(frame.data, rng)[:64])
    if rng.random() < 0.2:
        frame = frame._replace(can_id=int(rng.integers(1 << 29)), is_extended=bool(rng.random() < 0.5))
    if rng.random() < 0.1:
        frame = frame._replace(is_fd=not frame.is_fd)
    if rng.random() < 0.05:
        frame = frame._replace(is_error=True)
    return frame


# --- everything that is a file -----------------------------------------------------------------------------------


def _running(sink: Sink | None = None) -> SimulatedLine:
    scenario = parse({"play": [{"name": name} for name in DRIFTS]}, "drifts")
    line = SimulatedLine(Plan(load_line(LINE), scenario, Rival.NEURAL, 1.0, 1), sink or NoSink())
    line.play(SECONDS / 60.0)
    return line


def _decoders(folder: Path) -> dict[str, Decoder]:
    """Every decoder of files, with samples of a short run."""
    settings = load_line(LINE)
    frames: list[Frame] = []
    with CycleJournal(folder / "journal.sqlite", settings.line, settings.text) as journal:
        line = _running(journal)
        nodes = line.nodes
        line.hub.tap(lambda frame: frames.append(frame._replace(t_s=nodes.state.t_s)))
        line.play(SECONDS / 60.0)
    identity = Identity.of(settings)
    _keep(line.loop, folder / "snapshot", identity)
    logs = {
        suffix: write_log(frames[:1500], folder / f"log{suffix}").read_bytes() for suffix in (".log", ".asc", ".blf")
    }
    key_file = folder / "line.key"
    key_file.unlink(missing_ok=True)
    keys.new(key_file, 1.7e9)
    shipped = ModelStore(default_folder()).shipped()
    told = (
        Decoder("DBC", 4, (WireError,), (WireDescription().dbc.read_bytes(),), ".dbc", _read_dbc),
        Decoder("DBC, by the checker", 4, (ValueError,), (WireDescription().dbc.read_bytes(),), ".dbc", _read_table),
        Decoder("line file", 100, (SettingsError,), _texts(LINE, "line-40", "wide-120"), ".toml", _read_line),
        Decoder("scenario", 200, (ScenarioError,), tuple(path.read_bytes() for path in sorted(SHIPPED.glob("*.toml"))),
                ".toml", Scenario.load),
        Decoder("model", 200, (ModelStoreError,), (shipped.read_bytes() if shipped else b"",), ".safetensors",
                lambda path: network_of(load_model(path))),
        Decoder("snapshot", 100, (SnapshotError,), ((folder / "snapshot").read_bytes(),), ".snapshot",
                lambda path: snapshot.read(path, identity)),
        Decoder("key file", 200, (AuthenticationError,), (key_file.read_bytes(),), ".key", keys.read),
        Decoder("journal", 30, (JournalError,), ((folder / "journal.sqlite").read_bytes(),), ".sqlite", _read_journal),
        *(
            Decoder(f"log {suffix}", 20, (BusError,), (content,), suffix, _read_log)
            for suffix, content in logs.items()
        ),
        Decoder("log, by the checker", 20, (), (logs[".log"],), ".log", lambda path: check_log(settings, path)),
    )  # fmt: skip
    return {decoder.name: decoder for decoder in told}


NAMES = (
    FRAMES, "DBC", "DBC, by the checker", "line file", "scenario", "model", "snapshot", "key file", "journal",
    "log .log", "log .asc", "log .blf", "log, by the checker"
)  # fmt: skip


def _texts(*names: str) -> tuple[bytes, ...]:
    return tuple(find_line(name).read_bytes() for name in names)


def _keep(loop: Loop, path: Path, identity: Identity) -> None:
    """A snapshot of a controller, as its keeper writes it."""
    trace = loop.trace
    assert trace is not None and trace.mode_actual is Mode.AUTO
    before = kept(loop.config, loop.state, trace.web_m, trace.roll, trace.batch)
    snapshot.write(path, before, identity, trace.t_line_ns)


def _read_dbc(path: Path) -> None:
    Codec.compile(WireDescription(dbc_path=path), 16, 32, 32)


def _read_table(path: Path) -> None:
    SignalTable(WireDescription(dbc_path=path))


def _read_line(path: Path) -> None:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        load_line(path)
    else:
        read_line(text, path)


def _read_journal(path: Path) -> None:
    with JournalReader(path) as reader:
        reader.verify()
        reader.cycles()
        reader.events()
        reader.newest()


def _read_log(path: Path) -> None:
    bus = ReplayBus(path)
    while not bus.ended:
        step_s = bus.next_s()
        if step_s is None:
            break
        bus.advance(step_s)
        bus.receive()
    bus.close()
