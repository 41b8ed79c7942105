"""Every cause that can be named: in an operator's words what it is, what comes of it and what to do, and how long its
evidence has to last. `{}` in a text is where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evencoat.alarms.catalogue import Words


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause. looks: rows of web (about a second each) that its evidence has to last; keeps: strength below which it
    is not even so any more; stands_s: how long it stands after its evidence was seen last; explained_by: causes that,
    once named, explain it as well; outlasts: those of them that explain no more than a few rows of its evidence.
    unit: of a diagnosis' value.
    """

    id: str
    en: Words
    zh: Words
    looks: int = 3
    keeps: float = 0.5
    stands_s: float = 60.0
    explained_by: frozenset[str] = frozenset()
    outlasts: frozenset[str] = frozenset()
    unit: str = ""

    @property
    def words(self) -> Mapping[str, Words]:
        """By language."""
        return {"en": self.en, "zh": self.zh}


_GAUGE = frozenset({"gauge-frozen", "gauge-silent", "gauge-noisy", "gauge-blind", "gauge-misplaced"})
_MOTOR = frozenset({"bolt-stuck", "bolt-slow", "bolt-noisy"})
_LIP = frozenset({"bolt-dead", "bolt-reversed", "bolt-play"})
_SLURRY = frozenset({"batch-changed", "slurry-temperature"})
_LOCAL = frozenset({"gauge-frozen", "gauge-silent", "gauge-blind", "gauge-misplaced"})
_NOT_LIP = _MOTOR | _GAUGE | frozenset({"lip-sticks", "lip-bow", "lane-clogged", "unknown"})  # of one bolt

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "bolt-stuck",
        Words(
            "{} does not move",
            "Its motor, gear or drive stands, or its screw is jammed.",
            "Its place across the web is left to its neighbours, which reach it only in part.",
            "Look at the drive's lamp and the screw. Put the zone in manual, free it, and release it again.",
        ),
        Words(
            "{} 不动",
            "其电机、减速器或驱动器停转，或螺杆卡死。",
            "该位置只能靠相邻螺栓补偿，且只能补偿一部分。",
            "检查驱动器指示灯和螺杆。将该区切到手动，排除卡滞后再放回自动。",
        ),
        looks=2,
        stands_s=120.0,
        explained_by=_LIP | frozenset({"bolt-noisy", "gauge-frozen"}),
    ),
    Entry(
        "bolt-slow",
        Words(
            "{} crawls",
            "Its motor turns far more slowly than its rate: friction, low voltage or a slipping coupling.",
            "Its place follows changes late; start-up and new batches take longer there.",
            "Grease the screw, check the coupling and the drive's supply at the next stop.",
        ),
        Words(
            "{} 移动过慢",
            "电机转速远低于额定：摩擦过大、电压不足或联轴器打滑。",
            "该位置响应滞后，开机和换批时间变长。",
            "下次停机时润滑螺杆，检查联轴器和驱动电源。",
        ),
        looks=2,
        stands_s=120.0,
        explained_by=frozenset({"bolt-noisy", "bolt-stuck", "gauge-frozen"}),
    ),
    Entry(
        "bolt-dead",
        Words(
            "{} turns but the lip stays",
            "Screw and lip are no longer joined: sheared pin, stripped thread or loose nut.",
            "The web does not follow this bolt. The loop drives it further and further and upsets its neighbours.",
            "Put the zone in manual now. Check pin and thread at the next stop, then run a bump test of this bolt.",
        ),
        Words(
            "{} 转动但模唇不动",
            "螺杆与模唇脱开：销钉剪断、螺纹损坏或螺母松动。",
            "膜厚不随该螺栓变化，控制会越推越远并影响相邻区。",
            "立即将该区切到手动。停机时检查销钉与螺纹，之后对该螺栓做阶跃试验。",
        ),
        looks=30,
        stands_s=300.0,
        explained_by=_NOT_LIP | frozenset({"bolt-reversed", "bolt-play"}),
    ),
    Entry(
        "bolt-reversed",
        Words(
            "{} moves the lip the wrong way",
            "Its drive is wired or configured the other way round.",
            "Every correction there makes the error worse.",
            "Put the zone in manual now. Turn the direction in the drive, then run a bump test of this bolt.",
        ),
        Words(
            "{} 方向相反",
            "驱动器接线或参数方向接反。",
            "该处每次修正都会使误差变大。",
            "立即将该区切到手动。在驱动器中改正方向，之后对该螺栓做阶跃试验。",
        ),
        looks=30,
        stands_s=300.0,
        explained_by=_NOT_LIP | frozenset({"bolt-dead"}),
    ),
    Entry(
        "bolt-play",
        Words(
            "{} has more play than the others",
            "Worn screw or nut: the lip follows only after the play is taken up.",
            "Its place is corrected late and overshoots at every reversal.",
            "Plan a new nut or screw. Until then let the neighbours do more: put the zone in manual where it hunts.",
        ),
        Words(
            "{} 间隙变大",
            "螺杆或螺母磨损：换向后模唇要走完间隙才跟随。",
            "该处修正滞后，每次换向都会超调。",
            "安排更换螺母或螺杆。如出现来回摆动，先将该区切到手动。",
        ),
        looks=30,
        stands_s=300.0,
        explained_by=_NOT_LIP | frozenset({"bolt-reversed", "bolt-dead", "streak"}),
        unit="um",
    ),
    Entry(
        "lip-sticks",
        Words(
            "the lip sticks and jumps",
            "A sliding lip holds by friction until its screws are ahead, then jumps.",
            "Small corrections do nothing, large ones come at once; the profile hunts.",
            "Clean and grease the lip's slide at the next stop. Until then ask for fewer, larger moves.",
        ),
        Words(
            "模唇粘滞跳动",
            "滑动模唇因摩擦粘住，螺杆超前后突然跳动。",
            "小修正无效，大修正突然到位，横向分布来回波动。",
            "下次停机时清洁并润滑模唇滑面。此前减少小幅动作。",
        ),
        looks=10,
        stands_s=300.0,
        explained_by=_GAUGE | frozenset({"unknown"}),
        unit="um",
    ),
    Entry(
        "bolt-noisy",
        Words(
            "positions fed back by {} jitter",
            "Encoder, cable or shield of the position feedback.",
            "The loop believes moves that are none; stuck and dead bolts cannot be told.",
            "Check connector and shield of the position cable.",
        ),
        Words(
            "{} 反馈位置抖动",
            "位置反馈的编码器、电缆或屏蔽有问题。",
            "控制会把抖动当成动作，也无法判断螺栓是否卡死。",
            "检查位置电缆的插头和屏蔽。",
        ),
        stands_s=120.0,
    ),
    Entry(
        "streak",
        Words(
            "a streak in {}",
            "A particle or dried slurry at the lip, narrower than a bolt can reach.",
            "A thin line runs through the whole roll; the lips cannot heal it.",
            "Wipe the lip at this place with the shim. If it stays, mark the lane for the slitter.",
        ),
        Words(
            "{} 有条纹",
            "模唇处有颗粒或干料，比螺栓能调的范围更窄。",
            "条纹贯穿整卷，模唇调不平。",
            "用塞片清理该处模唇。如仍存在，标记该条给分切。",
        ),
        looks=4,
        stands_s=300.0,
        explained_by=_LOCAL | _LIP | _MOTOR | frozenset({"lip-sticks", "lane-clogged"}),
        unit="mm",
    ),
    Entry(
        "lane-clogged",
        Words(
            "the lane at {} is clogged",
            "Agglomerates or dried slurry close part of the slot.",
            "This lane is far too thin and its neighbours are a little too thick.",
            "Clean the slot here with the shim; check filter and dispersion if it comes back.",
        ),
        Words(
            "{} 流道堵塞",
            "团聚物或干料堵住部分狭缝。",
            "该条明显偏薄，相邻略厚。",
            "用塞片清理该处狭缝；若反复出现，检查过滤器和分散。",
        ),
        looks=4,
        stands_s=300.0,
        explained_by=_LOCAL | _LIP | _MOTOR | frozenset({"lip-sticks", "streak"}),
        unit="mm",
    ),
    Entry(
        "pump-pulses",
        Words(
            "the pump pulses more than it did",
            "Worn stator or rotor, air in the pump, or a coupling out of true.",
            "The web is thick and thin along its length, faster than the loop can answer.",
            "Bleed the pump; compare the frequency with the pump's speed; plan a new stator.",
        ),
        Words(
            "泵脉动变大",
            "定子或转子磨损、泵内有空气或联轴器不同心。",
            "纵向忽厚忽薄，快于控制能修正的速度。",
            "给泵排气；将频率与泵转速对照；安排更换定子。",
        ),
        looks=8,
        stands_s=60.0,
        explained_by=frozenset({"pump-loss", "lane-clogged"}),
        unit="Hz",
    ),
    Entry(
        "roll-run-out",
        Words(
            "a roll is out of true",
            "The roll of this circumference runs eccentric: bearing, deposit or a bent shaft.",
            "Thick and thin tilt across the web once a turn; the loop cannot answer it.",
            "Find the roll of this diameter near the die, clean it, and have its run-out measured.",
        ),
        Words(
            "辊筒跳动",
            "该周长的辊筒偏心：轴承、粘料或轴弯曲。",
            "每转一圈横向厚薄倾斜一次，控制无法修正。",
            "找到模头附近该直径的辊筒，清洁并测量跳动。",
        ),
        looks=8,
        stands_s=60.0,
        explained_by=_GAUGE | frozenset({"pump-pulses"}),
        unit="m",
    ),
    Entry(
        "pump-loss",
        Words(
            "the pump delivers another amount",
            "It delivers less for its turns: air, a worn stator, a leak, or a tank run low.",
            "The whole web was off for some metres; the pump now turns faster for the same film.",
            "Check the tank's level, the suction line for air, and the pump for leaks.",
        ),
        Words(
            "泵输送量改变",
            "同样转速下输送量减少：进气、定子磨损、泄漏或料罐液位低。",
            "整幅有数米偏差；泵以更高转速维持同样膜厚。",
            "检查料罐液位、吸入管是否进气以及泵是否泄漏。",
        ),
        stands_s=300.0,
        explained_by=_SLURRY | frozenset({"wet-jump", "gauge-frozen", "gauge-silent"}),
        unit="%",
    ),
    Entry(
        "wet-drift",
        Words(
            "the wet gauge drifts",
            "Its reading walks away from what pump and dry gauge say: dirt, temperature or electronics.",
            "The web follows the drift until the dry gauge has seen it.",
            "Standardise the wet gauge; clean its window; check its air purge.",
        ),
        Words(
            "湿膜测厚仪漂移",
            "读数逐渐偏离泵和干膜测厚仪：污染、温度或电子器件。",
            "在干膜测厚仪发现之前，涂布会跟着漂移。",
            "对湿膜测厚仪做标定；清洁窗口；检查气刀吹扫。",
        ),
        looks=30,
        stands_s=300.0,
        explained_by=_SLURRY | _GAUGE | frozenset({"wet-jump", "pump-loss", "filter-clogs"}),
        unit="%/h",
    ),
    Entry(
        "wet-jump",
        Words(
            "the wet gauge jumped",
            "Its reading changed at once, while pump and pressure did not.",
            "The web is wrong by as much until the dry gauge has taught the loop.",
            "Standardise the wet gauge; look for slurry on its window or a knock on its frame.",
        ),
        Words(
            "湿膜测厚仪读数突变",
            "读数突然改变，而泵和压力没有变化。",
            "在干膜测厚仪纠正之前，面密度会偏差同样大小。",
            "对湿膜测厚仪做标定；检查窗口是否沾料或机架被碰。",
        ),
        stands_s=300.0,
        explained_by=_SLURRY | _GAUGE | frozenset({"pump-loss"}),
        unit="%",
    ),
    Entry(
        "dry-jump",
        Words(
            "the dry gauge jumped",
            "Its reading changed at once on web that the wet gauge saw unchanged.",
            "The loop will follow it within minutes, and the whole web with it.",
            "Standardise the dry gauge. If the foil roll was changed just now, enter its weight instead.",
        ),
        Words(
            "干膜测厚仪读数突变",
            "湿膜没有变化的同一段上，干膜读数突然改变。",
            "几分钟内控制会跟随，整幅都会偏。",
            "对干膜测厚仪做标定。若刚换过箔材，请输入新箔材的面密度。",
        ),
        looks=4,
        stands_s=300.0,
        explained_by=_SLURRY | _GAUGE,
        unit="%",
    ),
    Entry(
        "gauge-frozen",
        Words(
            "the {} repeats its last scan",
            "Its electronics stand while its link lives.",
            "What it shows is old; the loop must not follow it.",
            "Restart the gauge's controller.",
        ),
        Words(
            "{} 重复上一次扫描",
            "电子单元停止更新，但通信正常。",
            "显示的是旧数据，控制不能跟随。",
            "重启测厚仪控制器。",
        ),
        looks=1,
        stands_s=20.0,
    ),
    Entry(
        "gauge-silent",
        Words(
            "the {} says nothing",
            "The gauge, its cable or its node is off.",
            "Without the wet gauge the loop holds; without the dry one its bias is learnt no more.",
            "Check power and cable of the gauge, then its node's lamp.",
        ),
        Words(
            "{} 无信号",
            "测厚仪、电缆或节点断电。",
            "没有湿膜测厚仪则保持；没有干膜则不再学习偏差。",
            "检查测厚仪电源和电缆，再看节点指示灯。",
        ),
        looks=1,
        stands_s=20.0,
    ),
    Entry(
        "gauge-noisy",
        Words(
            "the {} is noisier than it was",
            "Single boxes are far off: spray, a loose detector, or interference.",
            "Outliers are sorted out, but the profile is known less well.",
            "Clean the gauge's window; check its shield and its source's age.",
        ),
        Words(
            "{} 噪声变大",
            "个别通道偏差很大：飞溅、探头松动或干扰。",
            "异常点被剔除，但横向分布不够准确。",
            "清洁窗口；检查屏蔽和放射源使用年限。",
        ),
        looks=9,
        stands_s=60.0,
        explained_by=frozenset({"gauge-frozen", "gauge-misplaced", "lane-clogged", "streak"}),
    ),
    Entry(
        "gauge-blind",
        Words(
            "the {} is blind in a part",
            "Detectors there give no valid reading.",
            "These zones run on what is known of their neighbours.",
            "Clean or replace the detectors of these zones.",
        ),
        Words("{} 部分失明", "该处探头没有有效读数。", "这些区只能参照相邻区运行。", "清洁或更换这些区的探头。"),
        looks=3,
        stands_s=60.0,
        explained_by=frozenset({"gauge-misplaced", "gauge-silent"}),
    ),
    Entry(
        "gauge-misplaced",
        Words(
            "the {} stands beside its place",
            "It was shifted across the web, or the web runs off centre under it.",
            "Its zones and the bolts no longer match; one edge reads too thin and the loop opens the lip there.",
            "Put the edge zones in manual. Measure the gauge's place across the web and set it back.",
        ),
        Words(
            "{} 横向位置偏移",
            "测厚仪横向移动，或幅材在其下跑偏。",
            "测量区与螺栓不再对应；一侧边缘读数偏薄，控制会在那里开大模唇。",
            "将边缘区切到手动。测量并恢复测厚仪的横向位置。",
        ),
        looks=3,
        stands_s=300.0,
        explained_by=frozenset({"gauge-frozen"}),
        unit="mm",
    ),
    Entry(
        "batch-changed",
        Words(
            "another batch of slurry",
            "The new batch has other solids, density or flow index.",
            "The areal density may be off until the dry gauge has seen it; the profile may bend.",
            "Compare the batch's papers with what is found here; watch the next minutes of web.",
        ),
        Words(
            "换批",
            "新批浆料的固含、密度或流动指数不同。",
            "在干膜测厚仪测到之前面密度可能偏差；横向分布可能变化。",
            "将批次单与此处结果对照；关注接下来几分钟的涂布。",
        ),
        looks=1,
        keeps=0.2,
        stands_s=120.0,
        unit="%",
    ),
    Entry(
        "filter-clogs",
        Words(
            "the filter clogs",
            "Pressure rises while the same flow reaches the web: the filter fills up.",
            "The pump slips more and more; at its limit the film breaks.",
            "Change over to the other filter within the time told; look at the dispersion if it fills up early.",
        ),
        Words(
            "过滤器堵塞",
            "流量不变而压力升高：过滤器逐渐堵塞。",
            "泵滑移越来越大，到极限时断膜。",
            "在提示时间内切换到另一过滤器；若过早堵塞，检查分散情况。",
        ),
        looks=8,
        stands_s=120.0,
        unit="h",
        explained_by=_SLURRY | frozenset({"lane-clogged", "gauge-frozen", "gauge-misplaced"}),
    ),
    Entry(
        "slurry-temperature",
        Words(
            "the slurry's temperature changed",
            "Tempering or room temperature: viscosity goes with it.",
            "The pump slips otherwise and the profile may bend.",
            "Check the tempering of tank and hose.",
        ),
        Words(
            "浆料温度变化", "恒温或室温变化，粘度随之变化。", "泵滑移改变，横向分布可能变化。", "检查料罐和软管的恒温。"
        ),
        stands_s=120.0,
        unit="K",
    ),
    Entry(
        "encoder-lost",
        Words(
            "web speed is not known",
            "The encoder, its wheel or its cable.",
            "The loop holds.",
            "Check the encoder's wheel on the web, then its cable.",
        ),
        Words("无速度信号", "编码器、测轮或电缆故障。", "控制保持。", "检查编码器测轮是否贴合，再查电缆。"),
        looks=1,
        stands_s=20.0,
    ),
    Entry(
        "lip-bow",
        Words(
            "the lip bends with heat",
            "One face of the die is warmer than the other: tempering or draught.",
            "Edges and middle part; the lips follow as far as their travel goes.",
            "Check the die's tempering on both faces; keep draught away from it.",
        ),
        Words(
            "模唇热弯曲",
            "模头两面温度不同：恒温或气流。",
            "边缘与中间分离；模唇在行程内补偿。",
            "检查模头两面的恒温；避免气流吹到模头。",
        ),
        looks=4,
        stands_s=180.0,
        unit="%",
        explained_by=_GAUGE
        | frozenset(
            {"batch-changed", "slurry-temperature", "lip-sticks", "bolt-dead", "bolt-reversed", "lip-gives", "unknown"}
        ),
    ),
    Entry(
        "lip-gives",
        Words(
            "the lip gives way with speed",
            "Pressure rises with speed and bends the lip open, most in the middle: a soft lip, or loose body bolts.",
            "At every ramp the middle runs thick or thin until the lips have followed.",
            "Let the recipe hold lips for each speed; check the bolts of the die's body at the next stop.",
        ),
        Words(
            "模唇随速度变形",
            "速度升高使压力升高，把模唇撑开，中间最多：模唇偏软或模体螺栓松动。",
            "每次变速时中间偏厚或偏薄，直到模唇跟上。",
            "在配方中为各速度设定模唇；下次停机时检查模体螺栓。",
        ),
        stands_s=300.0,
        unit="um",
        explained_by=_GAUGE | _SLURRY | frozenset({"lip-sticks"}),
    ),
    Entry(
        "foil-uneven",
        Words(
            "the foil is uneven, not the coating",
            "The dry gauge weighs foil and coating, and the foil's weight changes.",
            "The loop may answer foil as if it were coating.",
            "Have the foil's weight subtracted (bare-foil gauge or supplier's figures); do not trim the pump.",
        ),
        Words(
            "箔材不均，而非涂层",
            "干膜测厚仪称的是箔材加涂层；箔材面密度沿长度变化。",
            "控制可能把箔材当成涂层修正。",
            "扣除箔材面密度（空箔测量或供应商数据）；不要手动调泵。",
        ),
        looks=6,
        stands_s=60.0,
        explained_by=_GAUGE | frozenset({"batch-changed", "pump-pulses", "dry-jump"}),
        outlasts=frozenset({"dry-jump"}),
    ),
    Entry(
        "link-lost",
        Words(
            "{}: not heard rightly",
            "Cable, plug or node of this device on the bus.",
            "The loop holds, or runs without this device.",
            "Check plug and lamp of this node; evencoat listen tells which frames are missing.",
        ),
        Words(
            "{}：通信异常",
            "该设备在总线上的电缆、插头或节点。",
            "控制保持，或在缺少该设备的情况下运行。",
            "检查该节点插头和指示灯；evencoat listen 可查缺少的报文。",
        ),
        looks=1,
        stands_s=20.0,
    ),
    Entry(
        "bus-disturbed",
        Words(
            "somebody else speaks on the bus",
            "A second controller, a stranger who babbles, or a bus that is down.",
            "Commands may not be obeyed.",
            "Find the other node and take it off the bus.",
        ),
        Words(
            "总线受干扰", "有第二个控制器、陌生节点乱发或总线故障。", "指令可能不被执行。", "找到该节点并从总线断开。"
        ),
        looks=1,
        stands_s=20.0,
    ),
)
ENTRIES += (
    Entry(
        "unknown",
        Words(
            "something is wrong with the web, and it is not known what",
            "The profile changes far more than it usually does, and no cause known here fits it.",
            "The web may leave its tolerance; the loop answers what it cannot tell apart.",
            "Look at the die, the web and the gauges now. Write down what it was, so that it can be told next time.",
        ),
        Words(
            "膜面异常，原因未知",
            "横向分布的变化远大于平时，且与已知原因都不相符。",
            "涂层可能超差；控制只能对无法区分的变化作出反应。",
            "立即检查模头、膜面和测厚仪，并记录实际原因，以便今后识别。",
        ),
        looks=8,
        stands_s=60.0,
        explained_by=frozenset(entry.id for entry in ENTRIES),
    ),
)
CATALOGUE: Mapping[str, Entry] = {entry.id: entry for entry in ENTRIES}


def told(cause: str, where: str, language: str = "en") -> Words:
    """The words of a cause at a place."""
    words = CATALOGUE[cause].words[language]
    return words._replace(text=words.text.replace("{}", where))
