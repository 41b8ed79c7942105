"""Every alarm that there is: what it means and what to do about it, when it counts, and which device it speaks of.

The words are for the person at the line. Bounds, delays and dead bands were chosen on simulated lines so that quiet
running gives less than one alarm in ten minutes; docs/alarms.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from controller.line.command import Outcome


class Priority(StrEnum):
    """How soon somebody has to act."""

    URGENT = "urgent"  # at once
    HIGH = "high"  # within minutes
    MEDIUM = "medium"  # within the hour
    LOW = "low"  # within the shift

    @property
    def rank(self) -> int:
        """0 for what comes first."""
        return list(Priority).index(self)


class Ne107(StrEnum):
    """What a device is worth, after NAMUR NE 107, from well to worst."""

    GOOD = "good"
    MAINTENANCE = "maintenance required"
    OUT_OF_SPECIFICATION = "out of specification"
    FUNCTION_CHECK = "function check"
    FAILURE = "failure"

    @property
    def rank(self) -> int:
        """0 for well; the larger the worse."""
        return list(Ne107).index(self)


class Context(StrEnum):
    """A situation in which some alarms would say nothing worth knowing."""

    ENDED = "control was stopped"
    SILENT = "no cycle comes"
    NOT_RUNNING = "the line does not run"
    NOT_AUTO = "the loop is not closed"
    STARTING = "the loop was closed a moment ago"
    SETTLING = "start, new batch, new speed or new target within the last minutes"


WELL, LATER, OUTSIDE, CHECKED, BROKEN = Ne107
URGENT, HIGH, MEDIUM, LOW = Priority

GONE = frozenset({Context.ENDED, Context.SILENT})
RUNNING = GONE | {Context.NOT_RUNNING}  # suppressed unless the web runs
CLOSED = RUNNING | {Context.NOT_AUTO}  # ... and the loop is closed
STEADY = CLOSED | {Context.STARTING, Context.SETTLING}  # ... and nothing is expected to change
EVENED = CLOSED | {Context.STARTING}


class Words(NamedTuple):
    """What an operator reads."""

    text: str
    cause: str
    consequence: str
    action: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm. It comes when its condition is above `limit` for `on_delay_s`, and goes when it is not above
    limit - dead_band for `off_delay_s`. `latch`: once gone, it stays until somebody acknowledges it.

    `device`: of NE 107; "" where it speaks of none, "*" where its subject is the device, "gauge" for the one that
    closes the loop, "gauges" for both.
    """

    id: str
    priority: Priority
    en: Words
    zh: Words
    limit: float = 0.5
    unit: str = ""
    dead_band: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 5.0
    latch: bool = False
    suppressed_while: frozenset[Context] = GONE
    device: str = ""
    health: Ne107 = Ne107.GOOD

    @property
    def words(self) -> Mapping[str, Words]:
        """By language."""
        return {"en": self.en, "zh": self.zh}


def _hold(
    id_: str,
    device: str,
    en: Words,
    zh: Words,
    health: Ne107 = BROKEN,
    priority: Priority = HIGH,
    on_delay_s: float = 0.5,
) -> Alarm:
    return Alarm(id_, priority, en, zh, latch=True, on_delay_s=on_delay_s, device=device, health=health)


HOLDS: Mapping[str, str] = {  # outcome in the trace -> the alarm that tells it; LINE_STOPPED and START_UP are none
    Outcome.ENCODER_LOST: "hold-encoder",
    Outcome.GAUGE_STALE: "hold-gauge-stale",
    Outcome.GAUGE_INVALID: "hold-gauge-invalid",
    Outcome.FEEDBACK_LOST: "hold-feedback",
    Outcome.PUMP_LOST: "hold-pump",
    Outcome.NODES_LATCHED: "hold-latched",
    Outcome.SAFE_STOP: "safe-stop",
    Outcome.NOT_FINITE: "hold-not-finite",
    Outcome.REFUSED: "hold-refused",
    Outcome.NO_LAW_LEFT: "hold-no-law",
}

_HELD = "Lips and pump ratio stay as they are; nobody corrects the coating."
_HELD_ZH = "唇口和泵速比保持不变；涂层无人修正。"

_ALARMS = (
    # --- control ---
    Alarm(
        "control-silent", URGENT,
        Words("Control is silent: no new cycle", "The control process died or hangs, or the machine is overloaded.",
              "Nodes hold lips and pump ratio by themselves; nobody corrects the coating.",
              "Look whether `evencoat run` lives and start it again; ask for AUTO when it says it is ready."),
        Words("控制无响应：没有新周期", "控制进程已退出或卡死，或计算机过载。",
              "各节点自行保持唇口和泵速比；涂层无人修正。",
              "检查 evencoat run 是否在运行并重新启动；就绪后再请求自动。"),
        limit=3.0, unit="s", latch=True, suppressed_while=frozenset({Context.ENDED}), device="controller",
        health=BROKEN,
    ),
    Alarm(
        "control-ended", LOW,
        Words("Control was stopped", "Somebody ended the control process.", "Nobody corrects the coating.",
              "Start `evencoat run` when the line shall be controlled again."),
        Words("控制已停止", "有人结束了控制进程。", "涂层无人修正。", "需要控制时重新启动 evencoat run。"),
        suppressed_while=frozenset(), device="controller", health=CHECKED,
    ),
    Alarm(
        "control-late", MEDIUM,
        Words("Cycles begin late", "Other work takes the processor, or the disk or bus driver blocks it.",
              "Control slows down, and where it goes on holds with a simpler law.",
              "End other programs on this machine; run `evencoat doctor`."),
        Words("控制周期延迟", "其他程序占用处理器，或磁盘、总线驱动阻塞。", "控制变慢；持续时会改用更简单的控制律。",
              "结束本机其他程序；运行 evencoat doctor。"),
        limit=0.2, unit="share of cycles", dead_band=0.15, on_delay_s=10.0, off_delay_s=60.0, device="controller",
        health=OUTSIDE,
    ),
    Alarm(
        "clock-jump", MEDIUM,
        Words("Line time jumped", "The encoder's node began anew, or its clock was set.",
              "Scans around the jump are not believed; the loop may hold for a moment.",
              "Check the encoder's node and what sets its clock."),
        Words("产线时间跳变", "编码器节点重启，或其时钟被调整。", "跳变前后的扫描不予采信；控制可能短暂保持。",
              "检查编码器节点及其对时来源。"),
        limit=1.0, unit="s", off_delay_s=30.0, latch=True, device="encoder", health=CHECKED,
    ),
    # --- holds ---
    _hold("safe-stop", "", Words("Safe stop on the bus", "A node or the PLC asked for a safe stop.", _HELD,
          "Find who asked for it and why; then re-arm and ask for AUTO."),
          Words("总线安全停止", "某节点或 PLC 请求了安全停止。", _HELD_ZH, "查明请求方和原因；然后复位并请求自动。"),
          priority=URGENT),
    _hold("hold-encoder", "encoder", Words("Held: web speed is not valid", "Encoder, its cable or its node.", _HELD,
          "Check encoder and cable; control goes on by itself once the speed is valid."),
          Words("保持：带速无效", "编码器、电缆或其节点故障。", _HELD_ZH, "检查编码器和电缆；带速恢复后自动继续。")),
    _hold("hold-gauge-stale", "gauge", Words("Held: no fresh scan from the gauge that closes the loop",
          "The gauge is silent, frozen or late, or its clock is wrong.", _HELD,
          "Check the gauge and its link; control goes on by itself once scans come."),
          Words("保持：闭环测量仪无新扫描", "测量仪无响应、冻结或延迟，或其时钟错误。", _HELD_ZH,
                "检查测量仪及通信；恢复扫描后自动继续。"), on_delay_s=10.0),  # a start has to get there first
    _hold("hold-gauge-invalid", "gauge", Words("Held: too few valid boxes in the scan",
          "The gauge is dirty, covered or beside the web.", _HELD, "Clean and align the gauge."),
          Words("保持：扫描中有效测点过少",
                "测量仪脏污、被遮挡或偏离料带。", _HELD_ZH, "清洁并对准测量仪。"), on_delay_s=10.0),
    _hold("hold-feedback", "die", Words("Held: no lip positions fed back", "The die's node, its supply or the bus.",
          _HELD, "Check the die's node; control goes on by itself once positions come."),
          Words("保持：无唇口位置反馈",
                "模头节点、电源或总线故障。", _HELD_ZH, "检查模头节点；反馈恢复后自动继续。")),
    _hold("hold-pump", "pump", Words("Held: no pump feedback", "The pump's node, its drive or the bus.", _HELD,
          "Check the pump's drive and node; control goes on by itself once feedback comes."),
          Words("保持：无泵反馈",
                "泵节点、驱动器或总线故障。", _HELD_ZH, "检查泵驱动器和节点；反馈恢复后自动继续。")),
    _hold("hold-latched", "", Words("Held: a node waits for re-arm",
                                    "A node heard no command for two seconds.", _HELD,
          "Find out why control was away; then re-arm."),
          Words("保持：节点等待复位", "节点两秒内未收到命令。", _HELD_ZH, "查明控制中断原因；然后复位。"), CHECKED),
    _hold("hold-not-finite", "controller", Words("Held: the law's answer was no number",
                                                 "An error in the controller.",
          _HELD, "Ask for AUTO again; where it returns, run in MANUAL and send the journal to its makers."),
          Words("保持：控制律结果不是数",
                "控制器内部错误。", _HELD_ZH, "重新请求自动；若再次出现，改为手动并提交日志。")),
    _hold("hold-refused", "controller", Words("Held: the transmit gate refused a command",
          "Line file and gate disagree, or an error in the controller.", _HELD,
          "Run `evencoat check` on the line file; ask for AUTO again only when it passes."),
          Words("保持：发送门拒绝了命令", "产线文件与发送门限值不一致，或控制器内部错误。", _HELD_ZH,
                "对产线文件运行 evencoat check；通过后再请求自动。")),
    _hold("hold-no-law", "controller", Words("Held: no law keeps this web even",
          "The line answers quite otherwise than believed: wrong line file, reversed bolts, gauge in a wrong place.",
          _HELD, "Look at profile and bolts; commission the line anew before asking for AUTO."),
          Words("保持：没有控制律能保持均匀",
                "产线响应与模型差异很大：产线文件错误、螺栓反向或测量仪错位。", _HELD_ZH,
                "检查轮廓和螺栓；重新调试产线后再请求自动。")),
    # --- links ---
    Alarm(
        "link-silent", HIGH,
        Words("{subject}: silent on the bus", "The node is off, restarts, or its cable or connector is loose.",
              "What it tells is missing; control holds where it cannot do without.",
              "Check supply, cable and connector of the node."),
        Words("{subject}：总线上无响应", "节点断电、重启，或电缆、接头松动。", "缺少其数据；必需时控制进入保持。",
              "检查该节点的电源、电缆和接头。"),
        on_delay_s=0.5, latch=True, device="*", health=BROKEN,
    ),
    Alarm(
        "link-faulty", HIGH,
        Words("{subject}: its frames are not to be trusted",
              "Interference, a wrong terminating resistor, a second node with the same identifier.",
              "What it tells is left out; control holds where it cannot do without.",
              "Check termination and shielding; look for a second node."),
        Words("{subject}：帧不可信", "干扰、终端电阻错误，或有相同标识的第二个节点。",
              "其数据被丢弃；必需时控制进入保持。",
              "检查终端电阻和屏蔽；查找重复节点。"),
        on_delay_s=0.5, latch=True, device="*", health=BROKEN,
    ),
    Alarm(
        "gauge-frozen", HIGH,
        Words("{subject}: repeats the same profile", "The gauge's computer hangs.",
              "It counts as silent; the loop holds where it is the one that closes it.", "Restart the gauge."),
        Words("{subject}：重复同一轮廓", "测量仪计算机卡死。", "视为无响应；若为闭环测量仪则控制保持。",
              "重启测量仪。"),
        latch=True, device="*", health=BROKEN,
    ),
    Alarm(
        "bus-fault", URGENT,
        Words("The bus does not take frames",
              "Bus-off, a short circuit, a cable that is out, or a driver that hangs.",
              "Commands do not arrive; nodes hold by themselves.", "Check cable, termination and interface."),
        Words("总线不接受帧", "总线关闭、短路、电缆脱落或驱动卡死。", "命令无法送达；各节点自行保持。",
              "检查电缆、终端电阻和接口。"),
        latch=True, device="controller", health=BROKEN,
    ),
    Alarm(
        "bus-babble", HIGH,
        Words("Somebody babbles on the bus", "A faulty or foreign node.", "Other frames come late or not at all.",
              "Find the node by its identifier and disconnect it."),
        Words("总线上有节点乱发", "节点故障或外来节点。", "其他帧延迟或丢失。", "按标识找到该节点并断开。"),
        latch=True,
    ),
    Alarm(
        "intruder", URGENT,
        Words("Another controller commands this line", "A second controller runs, or somebody plays back a log.",
              "Lips and pump obey two masters.", "End the other one at once, or hold the line."),
        Words("另有控制器在控制本产线", "有第二个控制器在运行，或有人在回放记录。", "唇口和泵受两方控制。",
              "立即结束另一方，或保持产线。"),
        latch=True,
    ),
    # --- bolts ---
    Alarm(
        "bolt-alone", MEDIUM,
        Words("{subject} is left alone",
              "Its motor is stuck, its screw turns free, or it moves the lip the wrong way.",
              "Its neighbours do its part as far as they can.", "Check motor, screw and wiring at the next stop."),
        Words("{subject} 已停用", "电机卡住、螺杆空转或反向动作。", "相邻螺栓尽量代替。",
              "下次停机检查电机、螺杆和接线。"),
        on_delay_s=2.0, off_delay_s=60.0, latch=True, suppressed_while=RUNNING, device="*", health=BROKEN,
    ),
    Alarm(
        "bolt-noisy", MEDIUM,
        Words("{subject}: position reading jumps", "Sensor, its cable or its supply.",
              "The controller takes noise for moves, and the profile grows uneven.", "Check the position sensor."),
        Words("{subject}：位置读数跳动", "位置传感器、电缆或供电。", "控制器把噪声当作动作，轮廓变差。",
              "检查位置传感器。"),
        limit=2.0, unit="times what the bolt can move", dead_band=0.5, on_delay_s=5.0, off_delay_s=30.0, latch=True,
        device="*", health=OUTSIDE,
    ),
    Alarm(
        "bolt-end", LOW,
        Words("{subject} is near the end of its travel", "The die was set badly, is worn or bent, or a gauge lies.",
              "Soon this place cannot be corrected any more.", "Set the die mechanically at the next stop."),
        Words("{subject} 接近行程极限", "模头设定不佳、磨损或变形，或测量仪有误。", "该处不久将无法修正。",
              "下次停机时机械调整模头。"),
        limit=0.95, unit="of half its range", dead_band=0.03, on_delay_s=120.0, off_delay_s=60.0,
        suppressed_while=RUNNING, device="*", health=LATER,
    ),
    Alarm(
        "limits-many", MEDIUM,
        Words("Limits hold many bolts back", "The profile asks for more than lips may do.",
              "The profile stays uneven.",
              "Look for what changed at the die; set the lips back to the stored profile."),
        Words("多个螺栓受限值约束", "轮廓要求超出唇口允许范围。", "轮廓保持不均匀。",
              "查看模头有何变化；恢复已存储的唇口轮廓。"),
        limit=0.25, unit="of the bolts", dead_band=0.1, on_delay_s=30.0, off_delay_s=30.0, suppressed_while=EVENED,
        device="die", health=OUTSIDE,
    ),
    # --- pump ---
    Alarm(
        "pump-end", HIGH,
        Words("Pump at the end of its trim", "Slip, a leak, another slurry than the line file says, a wrong target.",
              "The mean drifts off and cannot be brought back.",
              "Check target and slurry; then pump, seals and tank."),
        Words("泵修正已到极限", "滑差、泄漏、浆料与产线文件不符或目标错误。", "均值偏离且无法拉回。",
              "检查目标和浆料；再检查泵、密封和料罐。"),
        limit=0.97, unit="of the trim", dead_band=0.05, on_delay_s=10.0, off_delay_s=10.0, latch=True,
        suppressed_while=CLOSED, device="pump", health=OUTSIDE,
    ),
    Alarm(
        "pump-moved", MEDIUM,
        Words("Pump had to change its trim suddenly",
              "The pump lost or gained delivery, other slurry came unannounced, or a gauge began to read otherwise.",
              "Some metres were out of tolerance; it may go on.", "Compare pressure and gauges; check the pump."),
        Words("泵修正突然变化", "泵供料量突变、未通知的换料，或测量仪读数改变。", "部分料带超差，可能继续。",
              "比较压力和测量仪；检查泵。"),
        limit=1.5, unit="% within a minute", dead_band=0.5, on_delay_s=2.0, off_delay_s=60.0, latch=True,
        suppressed_while=STEADY, device="pump", health=OUTSIDE,
    ),
    Alarm(
        "pump-pressure-high", MEDIUM,
        Words("Pump pressure above its usual for this speed",
              "The filter clogs, the slurry is colder or thicker, or the die blocks.",
              "Delivery falls behind, at last the mean goes out of tolerance.",
              "Check the filter first, then temperature and viscosity."),
        Words("泵压力高于该速度的常值", "过滤器堵塞、浆料变冷变稠或模头堵塞。", "供料不足，最终均值超差。",
              "先检查过滤器，再检查温度和粘度。"),
        limit=2.0, unit="%", dead_band=0.7, on_delay_s=10.0, off_delay_s=60.0, suppressed_while=STEADY, device="pump",
        health=OUTSIDE,
    ),
    Alarm(
        "pump-pressure-low", MEDIUM,
        Words("Pump pressure below its usual for this speed",
              "The pump slips or leaks, the tank runs low, or the slurry is warmer (temperature) or thinner.",
              "Less is coated than the speed says.", "Check tank, seals and temperature; then the pump's wear."),
        Words("泵压力低于该速度的常值", "泵滑差或泄漏、料罐液位低，或浆料变热变稀。", "实际涂布量低于转速所示。",
              "检查料罐、密封和温度；再检查泵的磨损。"),
        limit=2.0, unit="%", dead_band=0.7, on_delay_s=10.0, off_delay_s=60.0, suppressed_while=STEADY, device="pump",
        health=OUTSIDE,
    ),
    Alarm(
        "pump-pulses", MEDIUM,
        Words("Pump pressure pulses more than usual", "Worn stator, air in the slurry, a loose coupling.",
              "Bands across the web that are too fast for any controller.",
              "Vent the line; check stator and coupling."),
        Words("泵压力脉动大于常值", "定子磨损、浆料含气或联轴器松动。", "料带出现横向条带，控制器来不及修正。",
              "排气；检查定子和联轴器。"),
        limit=2.5, unit="times the usual", dead_band=0.7, on_delay_s=20.0, off_delay_s=60.0, suppressed_while=STEADY,
        device="pump", health=OUTSIDE,
    ),
    # --- the web ---
    Alarm(
        "profile-out", HIGH,
        Words("Profile out of tolerance for long", "See the alarms before this one, and the map of the roll.",
              "Scrap.", "Mark the roll; where it stays so, hold the line."),
        Words("轮廓长时间超差", "查看此前的报警和卷图。", "产生废品。", "标记料卷；持续时保持产线。"),
        limit=10.0, unit="m", dead_band=9.0, suppressed_while=EVENED,
    ),
    Alarm(
        "mean-out", HIGH,
        Words("Mean far from its target", "Pump, slurry, temperature, or a gauge that began to read otherwise.",
              "The whole width nears or leaves its tolerance.", "Look at pump, pressure and the newest batch."),
        Words("均值远离目标", "泵、浆料、温度，或测量仪读数改变。", "整幅宽度接近或超出公差。",
              "查看泵、压力和最新批次。"),
        limit=0.6, unit="of the tolerance", dead_band=0.2, on_delay_s=5.0, off_delay_s=10.0, suppressed_while=EVENED,
    ),
    Alarm(
        "zone-apart", MEDIUM,
        Words("Profile: {subject} stands apart from its neighbours",
              "A streak: dirt or a bubble in the slot; or a bolt that does not do what it says.",
              "A stripe along the web; the loop bends its neighbours to make up for it.",
              "Look at the web; clean the slot with a shim, check the bolt."),
        Words("轮廓：{subject} 与相邻区明显不同", "条纹：唇口缝隙有脏物或气泡；或螺栓动作不符。",
              "料带出现纵向条带；回路会扭曲相邻区来补偿。", "查看料带；用垫片清理缝隙，检查螺栓。"),
        limit=0.2, unit="of the tolerance", dead_band=0.05, on_delay_s=15.0, off_delay_s=300.0, latch=True,
        suppressed_while=EVENED, device="die", health=OUTSIDE,
    ),
    # --- gauges ---
    Alarm(
        "gauge-blind", MEDIUM,
        Words("Gauge: no valid boxes in some zones", "Dirt on the window, a dead detector, or an edge out of place.",
              "Nothing is known there; the neighbours' reading stands in.", "Clean and align the gauge."),
        Words("测量仪：部分区无有效测点", "窗口脏污、探测器失效或边缘错位。", "该处未知，以相邻区读数代替。",
              "清洁并对准测量仪。"),
        limit=0.5, unit="of the scans", dead_band=0.3, on_delay_s=5.0, off_delay_s=30.0, suppressed_while=RUNNING,
        device="gauge", health=LATER,
    ),
    Alarm(
        "gauge-drops", LOW,
        Words("Gauge: single boxes are often not valid", "Bubbles, dirt or electronics of the gauge.",
              "Readings are noisier than believed.", "Check the gauge's window and its own diagnosis."),
        Words("测量仪：个别测点常无效", "气泡、脏污或测量仪电子故障。", "读数噪声比预期大。",
              "检查测量仪窗口及自诊断。"),
        limit=0.003, unit="of the boxes", dead_band=0.002, on_delay_s=30.0, off_delay_s=120.0, suppressed_while=EVENED,
        device="gauge", health=LATER,
    ),
    Alarm(
        "dry-idle", MEDIUM,
        Words("Dry gauge: its scans teach nothing",
              "Too few of its boxes are valid, or it looks beside the web; the link itself is well.",
              "The wet gauge is no longer corrected: its drift goes into the coating.",
              "Clean and align the dry gauge."),
        Words("干测量仪：扫描未被采用", "有效测点过少或偏离料带；通信正常。",
              "湿测量仪不再被校正，其漂移会进入涂层。",
              "清洁并对准干测量仪。"),
        limit=20.0, unit="scans", off_delay_s=10.0, suppressed_while=STEADY,
        device="dry gauge", health=BROKEN,
    ),
    Alarm(
        "gauges-part", MEDIUM,
        Words("Wet and dry gauge suddenly disagree",
              "One of the two began to read otherwise; or solids changed without a new batch being announced.",
              "The loop follows the dry one: where that is wrong, so is the whole coating.",
              "Weigh a sample; standardise the gauge that is wrong."),
        Words("湿、干测量仪突然不一致", "其中一台读数改变；或未通知的固含量变化。",
              "回路以干测量仪为准：若其有误，整个涂层都错。", "取样称重；校准有误的测量仪。"),
        limit=0.7, unit="%", dead_band=0.3, on_delay_s=2.0, off_delay_s=60.0, latch=True, suppressed_while=STEADY,
        device="gauges", health=CHECKED,
    ),
    # --- what is believed ---
    Alarm(
        "ladder-low", MEDIUM,
        Words("A simpler law acts",
              "Deadlines were missed, limits bound, or the line answers otherwise than believed.",
              "The coating is less even than it could be.",
              "Read why on the page; what fails there is to be mended."),
        Words("正在使用较简单的控制律", "错过期限、受限值约束，或产线响应与预期不符。", "涂层均匀性低于可达水平。",
              "在页面查看原因并排除。"),
        on_delay_s=60.0, off_delay_s=5.0, suppressed_while=CLOSED, device="controller", health=OUTSIDE,
    ),
    Alarm(
        "network-off", LOW,
        Words("The network was sent away", "With it the web was less even than a plain PI would leave it.",
              "What it foresaw is no longer used.", "None at once; tell who trains the models."),
        Words("神经网络已停用", "使用时料带均匀性不如普通 PI。", "不再使用其预测。",
              "无需立即处理；告知模型训练人员。"),
        on_delay_s=60.0, suppressed_while=CLOSED, device="controller", health=LATER,
    ),
    Alarm(
        "network-unheeded", LOW,
        Words("The network has lost its authority", "It guessed wrongly for long.", "What it says is not used.",
              "None at once; tell who trains the models."),
        Words("神经网络失去权限", "长时间预测错误。", "其结果不被采用。", "无需立即处理；告知模型训练人员。"),
        on_delay_s=300.0, suppressed_while=CLOSED, device="controller", health=LATER,
    ),
    Alarm(
        "batch-strange", LOW,
        Words("The new batch is not as foretold", "Another slurry than announced, or mixed otherwise.",
              "Some metres may be out of tolerance.", "Check the batch's papers: solids, viscosity."),
        Words("新批次与预期不符", "浆料与通知不同或混合方式不同。", "部分料带可能超差。",
              "核对批次单据：固含量、粘度。"),
        limit=3.0, unit="standard deviations", dead_band=0.5, on_delay_s=30.0, off_delay_s=60.0, latch=True,
        suppressed_while=CLOSED,
    ),
    Alarm(
        "model-refused", MEDIUM,
        Words("The network's file is refused", "It is damaged, or made for another evencoat.",
              "The line runs without a network from its next start on.", "`evencoat model list`; activate another."),
        Words("神经网络文件被拒绝", "文件损坏或版本不符。", "下次启动起产线不使用网络。",
              "运行 evencoat model list；启用其他模型。"),
        suppressed_while=frozenset(), device="controller", health=LATER,
    ),
    # --- disk ---
    Alarm(
        "journal-refusing", HIGH,
        Words("The journal loses cycles", "The disk is full, slow or dying.",
              "What happens now cannot be shown later; control goes on.", "Make room; check the disk."),
        Words("日志丢失周期", "磁盘已满、过慢或损坏。", "现在发生的事以后无法查证；控制继续。",
              "清理空间；检查磁盘。"),
        off_delay_s=60.0, latch=True, suppressed_while=frozenset(), device="controller", health=BROKEN,
    ),
    Alarm(
        "disk-filling", MEDIUM,
        Words("The journal's disk fills up", "Journals, logs or something else grow.",
              "When it is full the oldest cycles are pruned, then new ones are lost.",
              "Make room, or `evencoat journal prune`."),
        Words("日志磁盘将满", "日志或其他文件增长。", "磁盘满后先删除最旧周期，再丢失新周期。",
              "清理空间，或运行 evencoat journal prune。"),
        limit=0.95, unit="full", dead_band=0.02, on_delay_s=30.0, off_delay_s=60.0, suppressed_while=frozenset(),
        device="controller", health=LATER,
    ),
    Alarm(
        "snapshot-failing", MEDIUM,
        Words("What was learnt is not being kept", "The disk refuses, or the snapshot does not fit this line.",
              "After a restart the controller begins as new.", "Check the disk and the snapshot's folder."),
        Words("学习结果未能保存", "磁盘拒绝写入，或快照与本产线不符。", "重启后控制器从头学习。",
              "检查磁盘和快照文件夹。"),
        off_delay_s=60.0, latch=True, suppressed_while=frozenset(), device="controller", health=LATER,
    ),
)  # fmt: skip

CATALOGUE: Mapping[str, Alarm] = {alarm.id: alarm for alarm in _ALARMS}
DEVICES = ("wet gauge", "dry gauge", "die", "pump", "encoder", "controller")

_SUBJECTS_ZH = {
    "wet gauge": "湿测量仪", "dry gauge": "干测量仪", "die": "模头", "pump": "泵", "encoder": "编码器",
    "controller": "控制器",
}  # fmt: skip
_ONE_OF_MANY_ZH = {"bolt": "螺栓", "zone": "区"}


def subject_in(language: str, subject: str) -> str:
    """Whom an alarm is about, as people of that language say it."""
    if language != "zh":
        return subject
    kind, _, number = subject.partition(" ")
    return f"{_ONE_OF_MANY_ZH[kind]} {number}" if kind in _ONE_OF_MANY_ZH else _SUBJECTS_ZH.get(subject, subject)


def told(alarm: Alarm, subject: str, language: str = "en") -> Words:
    """An alarm's words about one subject."""
    about = subject_in(language, subject)
    return Words(*(words.replace("{subject}", about) for words in alarm.words[language]))
