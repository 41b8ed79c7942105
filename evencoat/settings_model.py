"""The tables of a line file: every key with its unit, its hard bounds and a sentence for the person who writes it.

Only evencoat.settings, evencoat.settings_rules and the schema export import this. The bounds are those of machines
that exist, taken generously wide (slot dies of 4 to 140 zones, webs of 5 cm to 5 m): they catch a slipped unit or
decimal point, not an unusual line. What contradicts something else in the file is judged in settings_rules.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=200)]


class Table(BaseModel):
    """A TOML table: unknown keys are refused, numbers are numbers (no text is read as one), nothing is NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class WebTable(Table):
    """[web]"""

    width_mm: float = Field(ge=50, le=5000, description="coated width, mm")
    speed_m_per_min: float = Field(ge=0.1, le=300, description="nominal web speed, m/min")
    speed_max_m_per_min: float = Field(ge=0.1, le=400, description="fastest web speed the line is run at, m/min")


class TargetTable(Table):
    """[target]"""

    areal_density_gsm: float = Field(ge=5, le=1000, description="dry areal density of one coated side, g/m2")
    tolerance_pct: float = Field(ge=0.1, le=20, description="half width of the tolerance band, percent of target")
    profile_gsm: list[Annotated[float, Field(ge=5, le=1000)]] = Field(
        default=[], max_length=140, description="target of each zone in g/m2, only where zones differ"
    )


class SlurryTable(Table):
    """[slurry]"""

    density_kgm3: float = Field(ge=500, le=5000, description="slurry density, kg/m3")
    solids_fraction: float = Field(ge=0.05, le=0.95, description="mass share of solids, 0..1 (0.58 means 58 %)")
    flow_index: float = Field(ge=0.1, le=1.5, description="power-law index n (1 is Newtonian, slurries 0.35 to 0.85)")


class DieTable(Table):
    """[die]"""

    zones: int = Field(ge=4, le=140, description="number of adjusting bolts")
    zone_pitch_mm: float = Field(ge=4, le=200, description="distance between bolts, mm")
    gap_nominal_um: float = Field(ge=50, le=3000, description="lip gap the die is set up with, um")
    lip_share: float = Field(
        ge=0.02, le=1, description="share of the slot's pressure drop taken by the adjustable lip, 0..1"
    )
    kernel_fwhm_pitches: float = Field(
        ge=0.5, le=6, description="width of one bolt's response at half height, in pitches (1 to 3 on most dies)"
    )
    alignment_shift_mm: float = Field(
        default=0.0, ge=-200, le=200, description="known offset of the gauges' zero against the bolts', mm"
    )
    alignment_uncertainty_mm: float = Field(
        ge=0, le=200, description="how well that offset is known (one standard deviation), mm"
    )


class LipsTable(Table):
    """[lips]"""

    gap_min_um: float = Field(ge=10, le=3270, description="smallest gap a bolt may be sent to, um")
    gap_max_um: float = Field(ge=10, le=3270, description="largest gap a bolt may be sent to, um")
    rate_um_per_s: float = Field(ge=0.01, le=500, description="fastest a bolt may move, um/s")
    resolution_um: float = Field(ge=0.01, le=20, description="smallest move a bolt makes, um")
    backlash_um: float = Field(ge=0, le=50, description="play of the bolt on reversal, um")
    neighbour_max_um: float = Field(ge=0.1, le=3000, description="largest difference between neighbouring bolts, um")
    bend_max_um: float = Field(ge=0.1, le=6000, description="largest second difference over three bolts, um")
    command_step_um: float = Field(ge=0.01, le=5, description="one count of the command on the wire, um")


class PumpTable(Table):
    """[pump]"""

    displacement_cc_per_rev: float = Field(ge=0.01, le=100_000, description="swept volume of a revolution, cc")
    efficiency: float = Field(ge=0.3, le=1, description="volumetric efficiency, 0..1")
    speed_max_rpm: float = Field(ge=1, le=10_000, description="fastest the pump may turn, rpm")
    trim_max_pct: float = Field(ge=0.1, le=30, description="largest trim of the pump's ratio to web speed, percent")
    trim_rate_pct_per_s: float = Field(ge=0.001, le=50, description="fastest change of that trim, percent/s")


class GaugeTable(Table):
    """[gauges.wet], [gauges.dry]"""

    boxes: int = Field(ge=4, le=280, description="measuring boxes across the coated width")
    distance_m: float = Field(ge=0.05, le=500, description="metres of web between die lip and gauge")
    period_s: float = Field(ge=0.005, le=600, description="time between two scans, or a scanner's two passes, s")
    noise_pct: float = Field(ge=0, le=10, description="one standard deviation of a box in a scan, percent of target")
    head_speed_mps: float = Field(
        default=0.0, ge=0, le=2, description="of a zig-zag scanner's head, m/s; 0 is an array (dry gauges only)"
    )
    edge_mask_mm: float = Field(default=0.0, ge=0, le=500, description="boxes so near an edge are not believed, mm")


class DryGaugeTable(GaugeTable):
    """[gauges.dry]; the last two are for roll passports alone, no loop knows of them"""

    accuracy_pct: float | None = Field(
        default=None,
        ge=0,
        le=20,
        description="one standard deviation of what all its readings are wrong by together, percent of target; "
        "left out: 0.08",
    )
    foil_pct: float = Field(
        default=0.0, ge=0, le=20, description="the same of what foil that varies along the web adds, percent of target"
    )


class GaugesTable(Table):
    """[gauges]"""

    wet: GaugeTable | None = Field(default=None, description="wet film gauge near the die")
    dry: DryGaugeTable | None = Field(default=None, description="areal density gauge after the oven")


class ControlTable(Table):
    """[control]; every key has a default that suits a line of the usual build."""

    cycle_s: float = Field(default=0.1, ge=0.002, le=5, description="control cycle, s")
    law: Literal["pi", "imc", "adaptive", "neural"] | None = Field(
        default=None, description="control law; left out: neural where the model in use verifies, else adaptive"
    )
    closed_loop_cd_s: float = Field(
        default=20.0, ge=0.1, le=3600, description="time in which the lips remove a profile error to 37 %, s"
    )
    closed_loop_md_s: float = Field(
        default=8.0, ge=0.1, le=3600, description="time in which the pump removes an error of the mean to 37 %, s"
    )
    bias_filter_s: float = Field(
        default=300.0, ge=1, le=36_000, description="slowest that the dry gauge corrects the wet one, s"
    )
    mode_gain_floor: float = Field(
        default=0.1, ge=0.001, le=1, description="shapes answering below this share of the strongest are left alone"
    )
    dead_band_um: float = Field(
        default=0.2, ge=0, le=50, description="lip moves below this are not worth their wear, um"
    )
    stale_periods: int = Field(
        default=5, ge=1, le=1000, description="gauge periods without a scan until the loop holds"
    )


class AuthTable(Table):
    """[bus.auth]: authentication of frames."""

    key_file: Text = Field(description="file of `evencoat key new`, relative to this file")
    key_id: int | None = Field(default=None, ge=1, le=1_000_000, description="key that signs; left out: the newest")


class BusTable(Table):
    """[bus]"""

    interface: Text = Field(default="evencoat", description="python-can interface: evencoat, socketcan, pcan, ...")
    channel: Text = Field(default="/tmp/evencoat.sock", description="channel of that interface: can0, a socket, ...")
    fd: bool = Field(default=True, description="CAN FD (true) or classic CAN (false)")
    bitrate: int = Field(default=500_000, ge=10_000, le=1_000_000, description="arbitration bit rate, bit/s")
    data_bitrate: int = Field(default=2_000_000, ge=10_000, le=12_000_000, description="FD data bit rate, bit/s")
    dbc: Text | None = Field(default=None, description="the line's own DBC, relative to this file; left out: ours")
    integrity: Literal["crc16", "crc8", "none"] = Field(
        default="crc16", description="frame check: crc16 (E2E header), crc8 (classic CAN), none"
    )
    sync_period_s: float = Field(default=0.1, ge=0.002, le=1, description="time between two SYNC frames, s")
    max_load_pct: float = Field(default=50.0, ge=1, le=100, description="worst-case bus load that is still accepted")
    canopen_nodes: list[Annotated[int, Field(ge=1, le=127)]] = Field(
        default=[], description="numbers of foreign CANopen nodes on the same bus: their identifiers must stay free"
    )
    options: dict[str, bool | int | float | str] = Field(default={}, description="further options handed to python-can")
    data_ids: dict[str, Annotated[int, Field(ge=0, le=65535)]] = Field(
        default={}, description="message -> data id in its CRC, where that is not the CAN id"
    )
    auth: AuthTable | None = Field(default=None, description="authentication of frames; left out: none")
    map: dict[str, Annotated[str, Field(max_length=200)]] = Field(
        default={}, description="role -> signal of the line's own DBC, {i} stands for the zone or box number"
    )


class GateTableModel(Table):
    """[gate]: limits of the transmit gate, written by hand, one count wider than [lips] and [pump]."""

    gap_min_um: float = Field(ge=0, le=3276, description="no command below this passes, um")
    gap_max_um: float = Field(ge=0, le=3276, description="no command above this passes, um")
    step_max_um: float = Field(ge=0.001, le=1000, description="largest move of a bolt from command to command, um")
    neighbour_max_um: float = Field(ge=0.1, le=3300, description="largest difference between neighbours, um")
    bend_max_um: float = Field(ge=0.1, le=6600, description="largest second difference over three bolts, um")
    pump_ratio_min_rpm_per_mps: float = Field(ge=0, le=1e6, description="lowest pump ratio that passes, rpm per m/s")
    pump_ratio_max_rpm_per_mps: float = Field(ge=0, le=1e6, description="highest pump ratio that passes, rpm per m/s")
    pump_trim_max_pct: float = Field(ge=0.01, le=60, description="largest pump trim that passes, percent")
    pump_trim_step_pct: float = Field(ge=0.0001, le=60, description="largest trim change from command to command")


class JournalTable(Table):
    """[journal]: how long cycles are kept; audit records and events stay."""

    keep_days: float = Field(default=30.0, ge=0.01, le=36_500, description="cycles older than this go, days")
    max_mb: float = Field(default=20_000.0, ge=1, le=10_000_000, description="largest size, MB; the oldest cycles go")


class RestartTable(Table):
    """[restart]: what a daemon does that finds that the one before it ended without a word."""

    policy: Literal["hold", "resume"] = Field(
        default="hold", description="hold: until a person asks for a mode; resume: what was asked for before"
    )
    web_max_m: float = Field(
        default=200.0, ge=0, le=100_000, description="after so much web what was believed of it is not taken over, m"
    )
    snapshot_s: float = Field(default=5.0, ge=0.2, le=3600, description="time between two snapshots, s")


class AutomationTable(Table):
    """[automation]: what `evencoat automation` may do by itself; left out, or as it stands here: nothing."""

    start: bool = Field(
        default=False, description="bring a line that was just started to AUTO, from the recipe's last good lips"
    )
    rearm_most_per_hour: int = Field(
        default=0, ge=0, le=20, description="so often in an hour nodes that latched for want of commands are released"
    )
    clear_s: float = Field(
        default=10.0, ge=1, le=3600, description="line time that the cause of a hold must have been gone before that, s"
    )
    lost_bolts_most: int = Field(
        default=1, ge=0, le=140, description="bolts that may not follow; with more a person is waited for"
    )
    acts_as: Text = Field(
        default="automation",
        pattern=r"^[a-z][a-z0-9._-]{0,31}$",
        description="user of ours in whose name it asks: an operator, for changes of grade an engineer",
    )


class RealtimeTable(Table):
    """[realtime]: what the control process asks the machine for; what is refused is told, and control goes on."""

    priority: int = Field(default=0, ge=0, le=98, description="of SCHED_FIFO for the paced thread; 0: an ordinary one")
    lock_memory: bool = Field(default=False, description="keep the process in memory (mlockall)")
    cpus: list[Annotated[int, Field(ge=0, le=4095)]] = Field(
        default=[], max_length=64, description="processors the paced thread runs on, best isolated ones; none: any"
    )
    collect_in_slack: bool = Field(
        default=True, description="collect garbage between cycles only (true), or when Python likes (false)"
    )


NodeId = Annotated[str, Field(pattern=r"^(ns=[0-9]{1,5};)?[isgb]=.+$", max_length=300)]


class OpcuaTable(Table):
    """[opcua]: the PLC's OPC UA server, for `evencoat opcua follow`; paths are relative to this file."""

    endpoint: Text = Field(
        pattern=r"^opc\.tcp://[^/@\s]+(/\S*)?$", description="opc.tcp://host:port of the PLC's server"
    )
    folder: Text = Field(description="folder of `evencoat opcua certificate`: our certificate and its key")
    server_certificate: Text = Field(description="the PLC's certificate, DER or PEM; no other is spoken to")
    policy: Literal["Aes256Sha256RsaPss", "Basic256Sha256"] = Field(
        default="Basic256Sha256", description="security policy, always with encryption"
    )
    user: Text = Field(description="our user on the PLC's server")
    password_file: Text = Field(description="file with that user's password, readable by its owner alone (0600)")
    acts_as: Text = Field(
        pattern=r"^[a-z][a-z0-9._-]{0,31}$",
        description="user of ours in whose name HOLD is asked for and remarks are kept",
    )
    web_speed: NodeId | None = Field(default=None, description="node of the web speed, compared with the encoder's")
    web_speed_mps_per_unit: float = Field(
        default=1.0, gt=0, le=1000, description="m/s in one unit of that node (m/min: 0.0166667)"
    )
    roll: NodeId | None = Field(default=None, description="node of the roll's id; becomes the journal's roll_name")
    production_order: NodeId | None = Field(default=None, description="node of the order that runs")
    material_lot: NodeId | None = Field(default=None, description="node of the lot of the slurry")
    recipe: NodeId | None = Field(default=None, description="node of the recipe's name or number")
    permit: NodeId | None = Field(default=None, description="node of the permit, true or false; false asks for HOLD")
    patience_s: float = Field(
        default=10.0, ge=1, le=3600, description="so long the PLC may be silent before a permit counts as withdrawn, s"
    )


class LineFile(Table):
    """A whole line file. `LineFile.model_json_schema()` is the schema that editors understand."""

    name: Text = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="short name, used in paths and reports")
    description: str = Field(default="", max_length=2000, description="what this line is, in a sentence")
    web: WebTable
    target: TargetTable
    slurry: SlurryTable
    die: DieTable
    lips: LipsTable
    pump: PumpTable
    gauges: GaugesTable
    control: ControlTable = ControlTable()
    bus: BusTable = BusTable()
    journal: JournalTable = JournalTable()
    restart: RestartTable = RestartTable()
    automation: AutomationTable = AutomationTable()
    realtime: RealtimeTable = RealtimeTable()
    opcua: OpcuaTable | None = Field(default=None, description="the PLC's OPC UA server; left out: none is followed")
    gate: GateTableModel
