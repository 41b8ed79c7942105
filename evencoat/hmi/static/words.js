// What the page says, in English and in Chinese. Words that come from the control process stand here by what they are
// in English; where there are none for one, it is shown as it came.

export const WORDS = {
  en: {
    other: "中文", mode: "Mode", reason: "Reason", web: "Web", roll: "Roll / batch", evenness: "Evenness now",
    outside: "Zones outside", map: "Areal density of the web, deviation from target: the newest on the right",
    profile: "Profile across the web, deviation from target (%)", lips: "Lips: position and what is asked for (µm)",
    trend: "Mean (black) and pump trim (gray), %", why: "Why it does what it does",
    events: "What happened", lost: "No connection to evencoat: reconnecting",
    old: "No new cycle for {s} s: the picture is old", none: "nothing yet", zone: "zone", noGauge: "no gauge reads",
    minutes: "min ago", now: "now", ofTarget: "of target", lip: "lip", asked: "asked for", stuck: "does not follow",
    footer: "Looking only: nothing can be commanded from this page. Not a safety component; machine safety stays in the PLC and its safety relay.",
    allFree: "No limit holds the command back.", limits: "Limits that hold the command back: {x}.",
    ownLaw: "The line's own law acts.", rung: "Acting law: {x}, because {y}.",
    links: "Links: {x}.", bolts: "Bolts that do not go where they are sent: {x}.",
    harris: "Of the mean's variance now, {x} % is beyond what any controller could remove.",
    guest: "The network adds {x} % to the belief of the mean, with {y} % of its authority.",
    silentGuest: "The network adds nothing now (authority {y} %).",
    batch: "The newest batch was expected to bring {x} % (give or take {y}).",
    advisory: "It sends nothing: what is shown as asked for is advice.", late: "The last cycle began {x} ms late.",
    model: "New model of the map: {x}",
  },
  zh: {
    other: "English", mode: "模式", reason: "原因", web: "料带", roll: "卷号 / 批次", evenness: "当前均匀性",
    outside: "超差区域", map: "料带面密度与目标的偏差：最新在右侧",
    profile: "横向面密度偏差（%）", lips: "唇口：位置与设定（µm）",
    trend: "纵向均值（%，黑）与泵修正（%，灰）", why: "控制器为何这样做",
    events: "事件", lost: "与 evencoat 的连接中断：正在重连",
    old: "{s} 秒没有新周期：画面已过时", none: "暂无", zone: "区", noGauge: "无测量",
    minutes: "分钟前", now: "现在", ofTarget: "相对目标", lip: "唇口", asked: "设定", stuck: "不跟随",
    footer: "仅供查看：本页不能发出任何命令。本产品不是安全部件；机器安全由 PLC 及安全继电器负责。",
    allFree: "没有限值约束命令。", limits: "约束命令的限值：{x}。",
    ownLaw: "产线自身的控制律在工作。", rung: "当前控制律：{x}，原因：{y}。",
    links: "通信：{x}。", bolts: "不跟随设定的螺栓：{x}。",
    harris: "当前均值方差中有 {x} % 超出任何控制器可消除的下限。",
    guest: "神经网络对均值估计的修正为 {x} %，权限 {y} %。",
    silentGuest: "神经网络此刻不作修正（权限 {y} %）。",
    batch: "最新批次预计带来 {x} %（±{y}）。",
    advisory: "不发送任何命令：所示设定仅为建议。", late: "上一周期晚开始 {x} 毫秒。",
    model: "响应模型已更新：{x}",
    advisory_mode: "建议", auto: "自动", hold: "保持", manual: "手动", off: "关闭",
  },
};

const MODES = { advisory: "advisory_mode" };

export function fill(text, values) {
  return text.replace(/\{(\w)\}/g, (_, name) => values[name]);
}

export function modeIn(words, mode) {
  return words[MODES[mode] ?? mode] ?? mode.toUpperCase();
}
