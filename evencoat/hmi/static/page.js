// The operator page: takes each cycle as it comes, keeps half an hour of them, and draws at most once a frame.

import * as draw from "./draw.js";
import { WORDS, fill, modeIn } from "./words.js";

const SPAN_S = 1800, ROWS_MOST = 1800, RETRY_MS = 1000, EVENTS_EVERY_MS = 3000;
const byId = (id) => document.getElementById(id);
const canvasOf = (id) => document.querySelector(`#${id} canvas`);

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let line = null, newest = null, rows = [], events = [], connected = false, heardAt = 0, waiting = false;
const marked = { profile: null, lips: null };
const words = () => WORDS[language];

function decoded(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  head.arrays.forEach((name, k) => {
    head[name] = new Float32Array(buffer.slice(4 + length + 4 * k * head.zones, 4 + length + 4 * (k + 1) * head.zones));
  });
  return head;
}

function taken(cycle) {
  const deviation = Array.from(cycle.profile_gsm, (value, zone) =>
    cycle.profile_valid[zone] ? 100 * (value / line.target_gsm[zone] - 1) : NaN);
  const known = deviation.filter(Number.isFinite);
  const mean = known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : NaN;
  const row = { t: cycle.t_line_ns / 1e9, deviation, mean, trim: cycle.pump_trim_pct };
  const last = rows[rows.length - 1];
  if (last && row.t < last.t) rows = [];  // another web, or a log played from its beginning
  if (last && row.t - last.t < SPAN_S / ROWS_MOST && rows.length > 1) rows[rows.length - 1] = { ...row, t: last.t };
  else rows.push(row);
  while (rows.length && row.t - rows[0].t > SPAN_S) rows.shift();
  newest = { ...cycle, deviation, mean };
  soon();
}

function soon() {
  if (waiting || !line) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; show(); });
}

function show() {
  if (!newest) return;
  const span_s = Math.min(SPAN_S, Math.max(120, newest.t_line_ns / 1e9 - rows[0].t));
  draw.rollMap(canvasOf("map"), rows, line, span_s, words());
  draw.profile(canvasOf("profile"), newest.deviation, line, mark("profile"), words());
  draw.lips(canvasOf("lips"), newest.gap_um, newest.gap_target_um, newest.zone_not_following, line, mark("lips"), words());
  draw.trend(canvasOf("trend"), rows, line, span_s, words());
  status();
  why();
}

function mark(name) {
  const zone = marked[name];
  if (zone === null) return null;
  const pct = (value) => Number.isFinite(value) ? `${value >= 0 ? "+" : ""}${value.toFixed(2)} %` : words().noGauge;
  if (name === "profile") return { zone, text: `${pct(newest.deviation[zone])} ${words().ofTarget}` };
  const stuck = newest.zone_not_following[zone] ? `, ${words().stuck}` : "";
  return { zone, text: `${words().lip} ${newest.gap_um[zone].toFixed(2)}, ${words().asked} ${newest.gap_target_um[zone].toFixed(2)}${stuck}` };
}

function put(id, text, level = "") {
  const cell = byId(id);
  if (cell.textContent !== text) cell.textContent = text;
  cell.title = text;
  cell.parentElement.classList.toggle("alarm", level === "alarm");
  cell.parentElement.classList.toggle("warn", level === "warn");
}

function status() {
  const known = newest.deviation.filter(Number.isFinite);
  const outside = known.filter((one) => Math.abs(one) > line.tolerance_pct).length;
  const rms = Math.sqrt(known.reduce((sum, one) => sum + one * one, 0) / known.length);
  const asked = newest.mode_actual === newest.mode_requested;
  put("mode", modeIn(words(), newest.mode_actual), asked ? "" : "alarm");
  put("reason", newest.outcome);
  put("web", `${(60 * newest.web_speed_mps).toFixed(1)} m/min`);
  put("roll", `${newest.roll} / ${newest.batch}`);
  put("sigma", known.length ? `${rms.toFixed(2)} %` : words().noGauge, known.length ? "" : "warn");
  put("outside", `${outside} / ${line.zones}`, outside ? "warn" : "");
}

function why() {
  const said = words(), lines = [];
  const stuck = Array.from(newest.zone_not_following).flatMap((one, zone) => (one ? [zone + 1] : []));
  if (newest.link_faults.length) lines.push(["alarm", fill(said.links, { x: newest.link_faults.join(", ") })]);
  if (stuck.length) lines.push(["alarm", fill(said.bolts, { x: stuck.join(", ") })]);
  lines.push(newest.rung === "own law" ? ["", said.ownLaw] : ["alarm", fill(said.rung, { x: newest.rung, y: newest.rung_cause })]);
  lines.push(newest.limits.length ? ["", fill(said.limits, { x: newest.limits.join(", ") })] : ["", said.allFree]);
  if (!newest.sent) lines.push(["", said.advisory]);
  const authority = newest.guest_authority;
  if (authority !== null) {
    const values = { x: newest.guest_pct.toFixed(3), y: Math.round(100 * authority) };
    lines.push(["", fill(newest.guest_pct ? said.guest : said.silentGuest, values)]);
  }
  if (newest.batch_foretold_pct !== null) {
    const values = { x: newest.batch_foretold_pct.toFixed(2), y: (newest.batch_foretold_sd_pct ?? 0).toFixed(2) };
    lines.push(["", fill(said.batch, values)]);
  }
  if (newest.harris_md !== null) lines.push(["", fill(said.harris, { x: Math.round(100 * (1 - newest.harris_md)) })]);
  if (newest.lateness_us > 5000) lines.push(["", fill(said.late, { x: (newest.lateness_us / 1000).toFixed(0) })]);
  if (newest.model_news) lines.push(["", fill(said.model, { x: newest.model_news })]);
  list(document.querySelector("#why ul"), lines.map(([level, text]) => ({ level, text })));
}

function list(parent, items) {
  const key = JSON.stringify([items, language]);
  if (parent.dataset.key === key) return;
  parent.dataset.key = key;
  parent.replaceChildren(...items.map(({ level, text, time }) => {
    const item = document.createElement("li");
    if (level) item.className = level;
    if (time) {
      const when = document.createElement("time");
      when.textContent = time;
      item.append(when);
    }
    item.append(text);
    return item;
  }));
}

async function fetchEvents() {
  try {
    const answer = await fetch("events.json");
    if (answer.ok) events = await answer.json();
  } catch { /* the socket tells that the connection is gone */ }
  const items = events.map((event) => ({
    level: event.kind === "alarm" ? "alarm" : "",
    time: new Date(1000 * event.t_unix_s).toLocaleTimeString(language === "zh" ? "zh-CN" : "en-GB"),
    text: event.text,
  }));
  list(document.querySelector("#events ol"), items.length ? items : [{ text: words().none }]);
}

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const place of document.querySelectorAll("[data-word]")) place.textContent = words()[place.dataset.word];
  byId("language").textContent = words().other;
  soon();
  fetchEvents();
}

function age() {
  const since_s = (Date.now() - heardAt) / 1000, late = newest ? (Date.now() / 1000 - newest.t_unix_s) : 0;
  const old = connected && (since_s > 3 || (!heardAt && late > 3));
  const stale = !connected || old;
  document.body.classList.toggle("stale", stale);
  byId("stale").hidden = !stale;
  if (stale) byId("stale").textContent = connected ? fill(words().old, { s: Math.round(heardAt ? since_s : late) }) : words().lost;
}

function listen() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { connected = true; };
  socket.onmessage = (message) => {
    if (typeof message.data === "string") return;
    const cycle = decoded(message.data);
    if (newest && cycle.cycle !== newest.cycle) heardAt = Date.now();
    taken(cycle);
  };
  socket.onclose = () => { connected = false; age(); setTimeout(listen, RETRY_MS); };
}

function pointed(name) {
  const canvas = canvasOf(name);
  const at = (event) => {
    const box = canvas.getBoundingClientRect(), zone = Math.floor((event.clientX - box.left - 44) / (box.width - 44) * line.zones);
    marked[name] = zone >= 0 && zone < line.zones ? zone : null;
    soon();
  };
  canvas.addEventListener("pointermove", at);
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") { marked[name] = null; soon(); } });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    marked[name] = Math.min(Math.max((marked[name] ?? -1) + step, 0), line.zones - 1);
    event.preventDefault();
    soon();
  });
}

async function begin() {
  byId("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    localStorage.setItem("language", language);
    speak();
  });
  line = await (await fetch("line.json")).json();
  byId("line").textContent = line.name;
  document.title = `${line.name} – evencoat`;
  const recent = await (await fetch(`recent?minutes=${SPAN_S / 60}`)).arrayBuffer();
  for (let at = 0; at < recent.byteLength;) {
    const length = new DataView(recent).getUint32(at, true);
    taken(decoded(recent.slice(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  pointed("profile");
  pointed("lips");
  speak();
  listen();
  setInterval(fetchEvents, EVENTS_EVERY_MS);
  setInterval(age, 500);
  window.addEventListener("resize", soon);
}

begin();
