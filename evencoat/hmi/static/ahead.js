// Ahead: what is foreseen of the web, with its intervals; limits that run out; what another setting would bring.

import * as draw from "./draw.js";
import { feed } from "./feed.js";
import { mark, pointed } from "./marks.js";
import { asked, byId, clock, element, facts, fill, list, number, plusMinus, renewed, said as inWords, signed, table, words } from "./tell.js";

const LEVEL = 0.8, NEAR_H = 1;
const CHANCES = [[0.05, "chanceTiny"], [0.25, "chanceSmall"], [0.5, "chanceEven"], [0.75, "chanceLarge"], [Infinity, "chanceSure"]];
const part = (name) => document.querySelector(`#page-ahead ${name}`), form = () => part("form");
let chosen_s = 30, told = null, why = "", answered = null, refused = "", questions = 0, redraw = () => {};

export const poll_ms = 3000;

export function begin(soon) {
  redraw = soon;
  pointed(part("canvas"), soon);
  form().addEventListener("submit", (event) => { event.preventDefault(); ask(); });
}

export async function poll() {
  const answer = await asked("forecast.json");
  told = answer.told?.known ? answer.told : answer.told ? null : told;  // what was foreseen last stays, and fades, while nobody answers
  why = answer.trouble || answer.told?.why || "";
  if (!questions) await ask();  // what is as it is now, until a person asks
  redraw();
}

// An empty field is what the line has now.
async function ask() {
  const mine = ++questions, query = new URLSearchParams([...new FormData(form())].filter(([, value]) => value !== ""));
  const { told: found, trouble } = await asked(`what-if.json?${query}`);
  if (mine !== questions) return;  // asked anew meanwhile
  answered = found && { ...found, t_unix_s: Date.now() / 1000 };
  refused = trouble;
  redraw();
}

export function spoken() { if (feed.newest) show(); }

export function show() {
  const said = words();
  foreseen(said);
  ranOut(said);
  whatIf(said);
}

const horizon = () => told?.horizons.find((one) => one.horizon_s === chosen_s) ?? told?.horizons[0] ?? null;

function foreseen(said) {
  const one = horizon(), trouble = why && fill(said.noForecast, { x: inWords(why) });
  part("#foreseen .problem").textContent = trouble;
  part("#foreseen").classList.toggle("old", trouble !== "");
  renewed(part(".choices"), [chosen_s, told?.horizons.map(({ horizon_s }) => horizon_s)], () => (told?.horizons ?? []).map(({ horizon_s }) => {
    const button = element("button", horizon_s ? `${horizon_s} s` : said.now);
    button.type = "button";
    button.setAttribute("aria-pressed", horizon_s === chosen_s);
    button.addEventListener("click", () => { chosen_s = horizon_s; redraw(); });
    return button;
  }));
  const level = told ? told.levels.indexOf(LEVEL) : -1, half = one?.half_pct[level];
  draw.ahead(part("canvas"), one && { ...one, half }, feed.line, one && marked(one, half, said), said);
  part(".soon").textContent = told ? soon(said) : "";
  part(".soon").classList.toggle("warned", Boolean(told?.warning));
  part("#foreseen .note").textContent = one ? `${metre(one, level, said)} ${held(level, said)}` : "";
}

function marked({ expected_pct, zone_out }, half, said) {
  const { zone } = mark;
  return zone === null ? null : { zone, text: `${signed(expected_pct[zone], 2)} ${plusMinus(half[zone], 2, "%")}, ${fill(said.chanceOut, { x: number(100 * zone_out[zone], 0) })}` };
}

function soon(said) {
  const { soon: chance, soon_s, warning, t_line_s } = told, [, word] = CHANCES.find(([below]) => chance < below);
  const sentence = fill(said.soonOut, { x: number(soon_s, 0), y: said[word], z: number(100 * chance, 0) });
  return warning ? `${sentence} ${fill(said.warned, { x: number(t_line_s - warning.since_s, 0) })}` : sentence;
}

function metre({ at_m, horizon_s, mean_pct, mean_half_pct, metre_out }, level, said) {
  return fill(said.metreAhead, { x: number(at_m, 0), y: number(horizon_s, 0), z: signed(mean_pct, 2), w: plusMinus(mean_half_pct[level], 2), c: number(100 * metre_out, 0) });
}

function held(level, said) {
  const judged = told.kept.find(({ horizon_s }) => horizon_s === chosen_s);
  if (!judged) return said.notJudged;
  return fill(said.intervalsHeld, { x: number(100 * LEVEL, 0), y: number(100 * judged.zones_inside[level], 1), z: number(judged.scans, 0) });
}

function ranOut(said) {
  const wide = (word) => [word, "number"], unit = ({ unit: one }) => one.replace("um", "µm");
  const columns = [[said.limitOf, "text"], [said.limitWhere, "text"], wide(said.limitNow), wide(said.limitAt), wide(said.limitRate), [said.hoursLeft, "left"]];
  part("#running-out").classList.toggle("old", why !== "");
  table(part("#running-out .rows"), columns, (told?.limits ?? []).map((one) => ({ level: one.hours < NEAR_H ? "warn" : "", cells: [
    inWords(one.what), inWords(one.where), number(one.now, 1, unit(one)), number(one.limit, 1, unit(one)), signed(one.per_hour, 1, unit(one)), left(one, said),
  ] })), told ? said.noLimits : "");
}

function left({ hours, hours_from, hours_to }, said) {
  const long = (one) => (one < 1 ? number(60 * one, 0, said.minutesShort) : number(one, 1, "h"));
  if (hours === 0) return said.reached;
  return fill(hours_to === null ? said.orNever : said.leftSpan, { x: long(hours), y: long(hours_from), z: long(hours_to) });
}

function whatIf(said) {
  const { newest } = feed, { target, speed, solids } = form().elements, assumes = answered?.assumes ?? [];
  target.placeholder = number(newest.target_gsm, 2);
  speed.placeholder = number(60 * newest.web_speed_mps, 1);
  solids.placeholder = "0";
  part("#what-if .problem").textContent = refused && inWords(refused);
  facts(part("#what-if dl"), answered ? brings(answered, said) : []);
  part(".assumes").hidden = !answered;
  part(".assumes").textContent = answered && fill(said.assumes, { x: clock(answered.t_unix_s) });
  list(part("#what-if ul"), assumes.map((text) => ({ text: inWords(text) })));
}

function brings({ asked: about, pump, lips, oven, change, web }, said) {
  const delay = (name) => (oven[`${name}_delay_s`] === undefined ? [] : [[said[`${name}Delay`], fill(said.insteadOf, { x: number(oven[`${name}_delay_s`], 1, "s"), y: number(oven[`${name}_delay_before_s`], 1, "s") })]]);
  return [
    [said.asksFor, question(about, said)],
    [said.trimThen, `${signed(pump.trim_pct, 2)} % (${fill(said.roomLeft, { x: number(pump.trim_left_pct, 2, "%") })})`, pump.within_trim ? "" : "warn"],
    [said.rpmThen, number(pump.rpm, 1, "rpm"), pump.within_rpm ? "" : "warn"],
    [said.pressureThen, `× ${number(pump.pressure_share, 3)}`],
    [said.leastRoom, fill(said.leastRoomAt, { x: number(lips.least_room_um, 1, "µm"), y: lips.least_room_bolt, z: number(lips.corrects_pct, 1, "%") })],
    [said.wetFilm, number(oven.wet_film_um, 1, "µm")], [said.liquid, `× ${number(oven.liquid_share, 3)}`], ...delay("wet"), ...delay("dry"),
    [said.onItsWay, number(change.target_ramp_m, 1, "m")], ...(about.solids_pct ? [[said.batchBrings, signed(change.batch_step_pct, 2, "%")]] : []),
    [said.scrapMost, number(change.scrap_most_m, 1, "m"), change.scrap_most_m > 0 ? "warn" : ""],
    ...(web.metre_out === undefined ? [] : [[said.metreThen, number(100 * web.metre_out, 1, "%")]]),
  ];
}

function question({ target_gsm, speed_m_per_min, solids_pct }, said) {
  const told_of = [[target_gsm, 2, "g/m²"], [speed_m_per_min, 1, "m/min"]].filter(([value]) => value !== null).map(([value, digits, unit]) => number(value, digits, unit));
  if (solids_pct) told_of.push(`${signed(solids_pct, 2)} ${said.points}`);
  return told_of.join(", ") || said.asItIs;
}
