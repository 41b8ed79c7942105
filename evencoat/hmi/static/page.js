// The page's frame: which page is shown, the header that all share, language, keys, and drawing at most once a frame.

import { onSession, watch } from "./access.js";
import * as ahead from "./ahead.js";
import * as alarms from "./alarms.js";
import * as audit from "./audit.js";
import * as commands from "./commands.js";
import * as controls from "./controls.js";
import { age, feed, listen, onCycle, recent } from "./feed.js";
import * as overview from "./overview.js";
import * as profile from "./profile.js";
import * as recipes from "./recipes.js";
import * as rolls from "./rolls.js";
import { asked, byId, clock, element, fill, locale, number, onClosed, otherLanguage, said, words } from "./tell.js";
import * as tuning from "./tuning.js";
import * as zones from "./zones.js";

const PAGES = { overview, profile, zones, tuning, alarms, rolls, audit, recipes, ahead }, NAMES = Object.keys(PAGES);
const TITLES = { profile: "profilePage", recipes: "recipesPage" };
const STATES = { Held: "warn", Suspended: "warn", Aborted: "alarm" };  // of PackML, those that are not as they should be
let here = "overview", waiting = false, polling = 0;

function soon() {
  if (waiting || !feed.line) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (!feed.newest) return;
    status();
    controls.show();
    PAGES[here].show();
  });
}

function put(id, text, level = "") {
  const cell = byId(id);
  if (cell.textContent !== text) cell.textContent = text;
  cell.title = text;
  cell.parentElement.classList.toggle("alarm", level === "alarm");
  cell.parentElement.classList.toggle("warn", level === "warn");
}

const modeIn = (mode) => said(mode).toUpperCase();

function status() {
  const { newest, line } = feed, told = words();
  const known = newest.deviation.filter(Number.isFinite);
  const outside = known.filter((one) => Math.abs(one) > line.tolerance_pct).length;
  const rms = Math.sqrt(known.reduce((sum, one) => sum + one * one, 0) / known.length);
  const granted = newest.mode_actual === newest.mode_requested, state = newest.packml_state;
  put("state", said(state), STATES[state] ?? "");
  put("mode", granted ? modeIn(newest.mode_actual) : fill(told.askedFor, { x: modeIn(newest.mode_actual), y: modeIn(newest.mode_requested) }), granted ? "" : "alarm");
  put("reason", said(newest.outcome));
  put("web", `${number(60 * newest.web_speed_mps, 1)} m/min`);
  put("roll", `${newest.roll} / ${newest.batch}`);
  put("sigma", known.length ? number(rms, 2, "%") : told.noGauge, known.length ? "" : "warn");
  put("outside", `${outside} / ${line.zones}`, outside ? "warn" : "");
}

function stale() {
  byId("clock").textContent = clock(Date.now() / 1000);
  const old = age();
  document.body.classList.toggle("stale", old !== null);
  byId("stale").hidden = old === null;
  if (old !== null) byId("stale").textContent = old === Infinity ? words().lost : fill(words().old, { s: Math.round(old) });
}

function labels() {
  document.documentElement.lang = locale();
  for (const place of document.querySelectorAll("[data-word]")) place.textContent = words()[place.dataset.word];
  byId("language").textContent = words().other;
  controls.show();
  alarms.counted();
}

function speak() {
  labels();
  if (!feed.line) return;
  for (const page of Object.values(PAGES)) page.spoken?.();
  stale();
  soon();
  poll();
}

function poll() {
  clearTimeout(polling);
  const { poll: ask, poll_ms } = PAGES[here];
  if (!ask) return;
  const mine = here;
  ask().finally(() => { if (here === mine) { clearTimeout(polling); polling = setTimeout(poll, poll_ms); } });
}

function turn() {
  const asked_for = location.hash.slice(1);
  here = NAMES.includes(asked_for) ? asked_for : "overview";
  for (const name of NAMES) byId(`page-${name}`).hidden = name !== here;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${here}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  PAGES[here].spoken?.();
  soon();
  poll();
}

function keys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, textarea, select, dialog")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], count = NAMES.length;
  const wanted = step ? (NAMES.indexOf(here) + step + count) % count : Number(event.key) - 1;
  if (NAMES[wanted]) location.hash = NAMES[wanted];
}

function navigation() {
  document.querySelector("nav").append(...NAMES.map((name, k) => {
    const link = element("a"), title = element("span");
    link.href = `#${name}`;
    title.dataset.word = TITLES[name] ?? name;
    link.append(element("kbd", k + 1), title, element("output"));
    return link;
  }));
  window.addEventListener("hashchange", turn);
  window.addEventListener("keydown", keys);
}

async function lineOf() {
  for (;;) {
    const { told } = await asked("line.json");
    if (told) return told;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function begin() {
  navigation();
  byId("language").addEventListener("click", () => { otherLanguage(); speak(); });
  commands.begin();
  controls.begin();
  onClosed(() => { if (feed.line) location.reload(); else controls.login(); });  // who is logged out sees nothing any more
  onSession(() => { controls.show(); soon(); });
  labels();
  watch();
  feed.line = await lineOf();
  byId("line").textContent = feed.line.name;
  document.title = `${feed.line.name} – evencoat`;
  await recent().catch(() => {});
  for (const page of Object.values(PAGES)) page.begin(soon);
  onCycle(soon);
  turn();
  speak();
  listen();
  alarms.watch();
  setInterval(stale, 500);
  window.addEventListener("resize", soon);
}

begin();
