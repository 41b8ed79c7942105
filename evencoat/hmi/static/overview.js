// The overview: roll map, profile, lips, trend, why, and what happened.

import * as diagnoses from "./diagnoses.js";
import * as draw from "./draw.js";
import { feed, span } from "./feed.js";
import { mark, pointed } from "./marks.js";
import { asked, clock, fill, list, number, said, signed, words } from "./tell.js";
import { Trend } from "./trend.js";

const canvasOf = (id) => document.querySelector(`#${id} canvas`);
let trend = null, belief = null, polls = 0;

export const poll_ms = 3000;

export function begin(soon) {
  pointed(canvasOf("profile"), soon);
  pointed(canvasOf("lips"), soon);
  trend = new Trend(document.querySelector("#trend .plot"));
}

export function show() {
  const { newest, rows, line } = feed, span_s = span();
  draw.rollMap(canvasOf("map"), rows, line, span_s, words());
  draw.profile(canvasOf("profile"), newest.deviation, line, marked("profile"), words());
  draw.lips(canvasOf("lips"), newest, line, marked("lips"), words());
  trend.show(rows, line, span_s);
  list(document.querySelector("#why ul"), reasons().map(([level, text]) => ({ level, text })));
}

export function marked(name) {
  const { zone } = mark, { newest } = feed;
  if (zone === null) return null;
  const pct = Number.isFinite(newest.deviation[zone]) ? signed(newest.deviation[zone], 2, "%") : words().noGauge;
  if (name === "profile") return { zone, text: `${pct} ${words().ofTarget}` };
  const stuck = newest.zone_not_following[zone] ? `, ${words().stuck}` : "";
  return { zone, text: `${words().lip} ${number(newest.gap_um[zone])}, ${words().asked} ${number(newest.gap_target_um[zone])}${stuck}` };
}

function reasons() {
  const told = words(), lines = diagnoses.line(), { newest } = feed;
  const stuck = Array.from(newest.zone_not_following).flatMap((one, zone) => (one ? [zone + 1] : []));
  if (newest.link_faults.length) lines.push(["alarm", fill(told.links, { x: newest.link_faults.map(said).join(", ") })]);
  if (stuck.length) lines.push(["alarm", fill(told.bolts, { x: stuck.join(", ") })]);
  lines.push(newest.rung === "own law" ? ["", told.ownLaw] : ["alarm", fill(told.rung, { x: said(newest.rung), y: said(newest.rung_cause) })]);
  const held = { x: newest.limits.map(said).join(", "), y: newest.limited_zones };
  lines.push(newest.limits.length ? ["", fill(told.limits, held)] : ["", told.allFree]);
  if (!newest.sent) lines.push(["", told.advisory]);
  if (belief) {
    const { map, delay } = belief;
    lines.push(["", fill(told.believes, { x: number(map.gain_pct_per_um, 3), y: signed(map.shift_mm, 1), z: number(map.shift_sd_mm ?? map.unsure_mm, 1), d: number(delay.dead_s, 1) })]);
  }
  for (const [value, about] of [[newest.surprise_cd, told.theShapes], [newest.surprise_md, told.theMean]]) {
    if (value > 4) lines.push(["", fill(told.surprised, { x: number(value, 1), y: about })]);
  }
  if (newest.guest_authority !== null) {
    const values = { x: number(newest.guest_pct, 3), y: number(100 * newest.guest_authority, 0) };
    lines.push(["", fill(newest.guest_pct ? told.guest : told.silentGuest, values)]);
  }
  if (newest.batch_foretold_pct !== null) {
    const values = { x: signed(newest.batch_foretold_pct), y: number(newest.batch_foretold_sd_pct), z: signed(newest.batch_step_pct) };
    lines.push(["", fill(told.batch, values)]);
  }
  if (newest.harris_md !== null) lines.push(["", fill(told.harris, { x: number(100 * (1 - newest.harris_md), 0) })]);
  if (newest.lateness_us > 5000) lines.push(["", fill(told.late, { x: number(newest.lateness_us / 1000, 0) })]);
  if (newest.model_news) lines.push(["", fill(told.model, { x: newest.model_news })]);
  return lines;
}

export async function poll() {
  const { told: events } = await asked("events.json");
  if (events) {
    const items = events.map((event) => ({ level: event.kind === "alarm" ? "alarm" : "", time: clock(event.t_unix_s), text: event.text }));
    list(document.querySelector("#events ol"), items.length ? items : [{ text: words().none }]);
  }
  await diagnoses.poll();
  if (polls++ % 5 === 0) {
    const { told } = await asked("belief.json");
    belief = told?.known ? told : null;
  }
}

export function spoken() { trend?.renew(); }

