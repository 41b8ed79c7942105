// The zones page: every zone's reading and lip in a table, and one of them whole.

import { ask, whyNot } from "./access.js";
import { lock, propose, stepped } from "./commands.js";
import { HELD_BACK_UM } from "./draw.js";
import { feed } from "./feed.js";
import { mark, move } from "./marks.js";
import { byId, element, facts, fill, number, renewed, said as inWords, signed, words } from "./tell.js";

const ROWS_A_BLOCK = 32, REDRAW_MS = 250, STEPS_UM = [-5, -1, 1, 5];
const hand = (name) => document.querySelector(`#zone .row ${name}`);
const chosen = () => mark.zone ?? 0;
let drawnAt = 0, cells = [];

export function begin(soon) {
  const blocks = document.querySelector("#table .blocks");
  blocks.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-zone]");
    if (row) { mark.zone = Number(row.dataset.zone); drawnAt = 0; soon(); }
  });
  blocks.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    move(step);
    drawnAt = 0;
    event.preventDefault();
    soon();
  });
  for (const [name, step] of [[".before", -1], [".after", 1]]) {
    hand(name).addEventListener("click", () => { mark.zone = chosen(); move(step); drawnAt = 0; soon(); });
  }
  hand(".give").addEventListener("click", () => (feed.newest.zone_manual[chosen()] ? giveBack() : takeByHand()));
  hand(".move").addEventListener("click", () => moveLip(0));
  hand(".steps").append(...STEPS_UM.map((step) => {
    const button = element("button", `${step > 0 ? "+" : "−"}${Math.abs(step)}`);
    Object.assign(button, { type: "button", disabled: true });
    button.addEventListener("click", () => moveLip(step));
    return button;
  }));
}

export function spoken() { drawnAt = 0; }

function takeByHand() {
  const said = words(), zone = chosen() + 1;
  const act = ({ why }) => ask("zone_manual", { zones: [zone], manual: true })(why);
  propose({ title: fill(said.byHandTitle, { x: zone }), sentence: () => fill(said.byHandSentence, { x: zone }), act });
}

function giveBack() {
  const said = words(), zone = chosen() + 1;
  const act = ({ why }) => ask("zone_manual", { zones: [zone], manual: false })(why);
  propose({ title: fill(said.giveTitle, { x: zone }), sentence: () => fill(said.giveSentence, { x: zone }), act });
}

function moveLip(step) {
  const said = words(), { line, newest } = feed, zone = chosen() + 1, stood = newest.gap_target_um[zone - 1];
  const min = line.gap_min_um, max = line.gap_max_um, value = stepped(Math.round(10 * stood) / 10, step, min, max);
  propose({
    title: fill(said.moveTitle, { x: zone }),
    sentence: ({ value: to }) => fill(said.moveSentence, { x: zone, y: number(stood, 1), z: number(to, 1) }),
    fields: [{ name: "value", label: said.lipAt, value, min, max, steps: STEPS_UM, unit: "µm" }],
    act: ({ value: to, why }) => ask("gap_um", { targets: { [zone]: to } })(why),
  });
}

function handed(said) {
  const { newest } = feed, byHand = newest.zone_manual[chosen()], free = newest.mode_actual === "manual" || (newest.mode_actual === "auto" && byHand);
  hand(".give").textContent = byHand ? said.giveHand : said.takeHand;
  lock(hand(".give"), whyNot("zone_manual"));
  hand(".move").textContent = said.moveLip;
  const why = whyNot("gap_um") || (free ? "" : said.onlyByHand);
  for (const button of [hand(".move"), ...hand(".steps").children]) lock(button, why);
  hand(".note").textContent = why;
}

export function show() {
  if (performance.now() - drawnAt < REDRAW_MS) return;
  drawnAt = performance.now();
  const { newest, line } = feed, said = words();
  laid(said, line.zones);
  for (let zone = 0; zone < line.zones; zone++) {
    const [level, word] = state(zone, said), off = newest.deviation[zone], { row, texts } = cells[zone];
    const outside = Math.abs(off) > line.tolerance_pct;
    [signed(off, 2), number(newest.gap_um[zone], 1), number(newest.gap_target_um[zone], 1), word].forEach((text, k) => {
      if (texts[k].textContent !== text) texts[k].textContent = text;
    });
    texts[0].className = outside ? (off < 0 ? "thin" : "thick") : "";
    texts[3].className = level;
    row.classList.toggle("marked", mark.zone === zone);
  }
  one(chosen(), said);
  handed(said);
}

function laid(said, zones) {
  const place = document.querySelector("#table .blocks"), count = Math.ceil(zones / ROWS_A_BLOCK), rows = Math.ceil(zones / count);
  renewed(place, zones, () => {
    cells = [];
    return Array.from({ length: count }, (_, block) => {
      const made = element("table"), head = element("tr");
      head.append(...[said.zone, "%", said.lipAt, said.sentTo, said.stateHere].map((text) => element("th", text)));
      made.append(element("thead"), element("tbody"));
      made.tHead.append(head);
      for (let zone = block * rows; zone < Math.min((block + 1) * rows, zones); zone++) {
        const row = element("tr"), texts = [0, 1, 2, 3].map(() => element("td"));
        row.dataset.zone = zone;
        row.append(element("td", zone + 1), ...texts);
        made.tBodies[0].append(row);
        cells[zone] = { row, texts };
      }
      return made;
    });
  });
}

// Which of the limits stands in a zone's way: that of the envelope nearest to binding where the law wished for more.
function state(zone, said) {
  const { newest, line } = feed, lip = newest.gap_target_um, step = HELD_BACK_UM;
  if (newest.zone_not_following[zone]) return ["alarm", said.leftAlone];
  if (newest.zone_manual[zone]) return ["hand", said.byHand];
  if (!newest.profile_valid[zone]) return ["warn", said.unread];
  if (lip[zone] <= line.gap_min_um + step) return ["warn", said.atMin];
  if (lip[zone] >= line.gap_max_um - step) return ["warn", said.atMax];
  if (newest.mode_actual !== "auto" && newest.mode_actual !== "advisory") return ["", said.standing];
  if (newest.limits.length && Math.abs(newest.gap_law_um[zone] - lip[zone]) > step) return ["warn", held(zone, said)];
  return ["", newest.sent ? said.follows : said.advice];
}

function held(zone, said) {
  const { newest, line } = feed, lip = newest.gap_target_um, last = line.zones - 1;
  const beside = [zone - 1, zone + 1].filter((other) => other >= 0 && other <= last);
  if (beside.some((other) => Math.abs(lip[zone] - lip[other]) > line.neighbour_max_um - HELD_BACK_UM)) return said.heldNeighbour;
  const bend = (k) => (k > 0 && k < last ? Math.abs(lip[k - 1] - 2 * lip[k] + lip[k + 1]) : 0);
  if (newest.limits.includes("bend") && [zone - 1, zone, zone + 1].some((k) => bend(k) > line.bend_max_um - HELD_BACK_UM)) return said.heldBend;
  return said.heldRate;
}

function one(zone, said) {
  const { newest, line } = feed, lip = newest.gap_target_um, [level, word] = state(zone, said);
  const beside = (other) => (lip[other] === undefined ? "–" : signed(lip[zone] - lip[other], 1, "µm"));
  const alone = newest.zone_not_following[zone], byHand = newest.zone_manual[zone];
  const mode = inWords(alone ? "hold" : byHand ? "manual" : newest.mode_actual).toUpperCase();
  const why = alone ? said.leftWhy : byHand ? said.byHandWhy : inWords(newest.outcome);
  byId("zone").querySelector("h2").textContent = `${said.zone} ${zone + 1}: ${mode}, ${why}`;
  facts(byId("zone").querySelector("dl"), [
    [said.stateHere, word, level],
    [said.read, newest.profile_valid[zone] ? number(newest.profile_gsm[zone], 2, "g/m²") : said.noGauge], [said.targetHere, number(newest.target[zone], 2, "g/m²")],
    [said.deviation, signed(newest.deviation[zone], 2, "%")],
    [said.lipAt, number(newest.gap_um[zone], 2, "µm")], [said.sentTo, number(lip[zone], 2, "µm")], [said.wish, number(newest.gap_law_um[zone], 2, "µm")],
    [said.toMin, number(lip[zone] - line.gap_min_um, 1, "µm")], [said.toMax, number(line.gap_max_um - lip[zone], 1, "µm")],
    [said.toLeft, beside(zone - 1)], [said.toRight, beside(zone + 1)],
  ]);
}
