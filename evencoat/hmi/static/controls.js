// What moves the whole line: who commands it, mode, target, pump trim, re-arm; and logging in and out.

import { ask, covers, holder, inCommand, post, session, whyNot } from "./access.js";
import { lock, propose } from "./commands.js";
import { feed } from "./feed.js";
import { byId, fill, number, said as inWords, signed, words } from "./tell.js";

const MODES = ["auto", "hold", "manual"];
const LATCHED = ["a node holds by itself and waits for re-arm", "safe stop on the bus: holding"];
const strip = (name) => document.querySelector(`#controls ${name}`);
const modeIn = (mode) => inWords(mode).toUpperCase();

export function begin() {
  byId("who").addEventListener("click", () => (session.who ? logout() : login()));
  byId("command").addEventListener("click", () => (inCommand() ? release() : take()));
  for (const mode of MODES) strip(`.${mode}`).addEventListener("click", () => setMode(mode));
  strip(".target").addEventListener("click", setTarget);
  strip(".trim").addEventListener("click", setTrim);
  strip(".rearm").addEventListener("click", rearm);
}

export function login() {
  const said = words();
  propose({
    title: said.logIn, sentence: () => session.users || said.logInSentence, reason: "none", confirm: said.logIn, stays: true,
    fields: [{ name: "name", label: said.userName, type: "text", most: 32, fill: "username" }, { name: "password", label: said.password, type: "password", most: 256, fill: "current-password" }],
    act: ({ name, password }) => post("login", { name: name.trim(), password }),
  });
}

function logout() {
  const said = words();
  propose({ title: said.logOut, sentence: () => (inCommand() ? said.logOutCommand : said.logOutSentence), reason: "none", confirm: said.logOut, act: () => post("logout", {}) });
}

function take() {
  const said = words(), force = session.holder !== null;
  const sentence = force ? fill(said.forceSentence, { x: holder() }) : fill(said.takeSentence, { x: number(session.idle_s / 60, 0) });
  propose({ title: said.take, sentence: () => sentence, act: ({ why }) => ask("take_command", force ? { force } : {})(why) });
}

function release() {
  const said = words();
  propose({ title: said.release, sentence: () => said.releaseSentence, act: ({ why }) => ask("release_command", {})(why) });
}

function setMode(mode) {
  const said = words(), title = fill(said.toMode, { x: modeIn(mode) });
  const sentence = { auto: said.autoSentence, hold: said.holdSentence, manual: said.manualSentence }[mode];
  propose({ title, sentence: () => sentence, act: ({ why }) => ask("mode", { mode })(why) });
}

function setTarget() {
  const said = words(), { line, newest } = feed, stood = newest.target_gsm, steps = [-1, -0.1, 0.1, 1];
  propose({
    title: said.setTarget,
    sentence: ({ value }) => fill(said.targetSentence, { x: number(stood, 2), y: number(value, 2) }),
    fields: [{ name: "value", label: said.target, value: Math.round(100 * stood) / 100, min: line.target_min_gsm, max: line.target_max_gsm, steps, unit: "g/m²" }],
    act: ({ value, why }) => ask("target_gsm", { value })(why),
  });
}

function setTrim() {
  const said = words(), { line, newest } = feed, stood = newest.pump_trim_pct, most = line.trim_max_pct;
  propose({
    title: said.setTrim,
    sentence: ({ value }) => fill(said.trimSentence, { x: signed(stood, 2), y: signed(value, 2) }),
    fields: [{ name: "value", label: said.pumpTrim, value: Math.round(100 * stood) / 100, min: -most, max: most, steps: [-1, -0.1, 0.1, 1], unit: "%" }],
    act: ({ value, why }) => ask("pump_trim_pct", { value })(why),
  });
}

function rearm() {
  const said = words();
  propose({ title: said.rearm, sentence: () => said.rearmSentence, act: ({ why }) => ask("rearm", {})(why) });
}

function twoLines(id, state, command) {
  byId(id).querySelector("small").textContent = state;
  byId(id).querySelector("span").textContent = command;
}

export function show() {
  const said = words(), { newest } = feed;
  twoLines("who", session.who ? `${session.who} (${inWords(session.role)})` : said.nobodyHere, session.who ? said.logOut : said.logIn);
  twoLines("command", fill(said.inCommand, { x: session.desk ? "–" : holder() }), inCommand() ? said.release : said.take);
  lock(byId("who"), session.takes ? "" : said.noDesk);
  const others = session.holder !== null && !inCommand() && !covers("admin");
  lock(byId("command"), whyNot("take_command") || (others ? fill(said.otherHolds, { x: holder() }) : ""));
  const unheard = newest ? "" : said.unheard;
  for (const mode of MODES) {
    strip(`.${mode}`).textContent = modeIn(mode);
    strip(`.${mode}`).setAttribute("aria-pressed", newest?.mode_requested === mode);
    lock(strip(`.${mode}`), whyNot("mode") || unheard || (session.sends === false ? said.onlyListens : ""));
  }
  strip(".target").textContent = `${said.target}: ${number(newest?.target_gsm, 2, "g/m²")}`;
  lock(strip(".target"), whyNot("target_gsm") || unheard);
  strip(".trim").textContent = `${said.pumpTrim}: ${signed(newest?.pump_trim_pct, 2, "%")}`;
  lock(strip(".trim"), whyNot("pump_trim_pct") || unheard || (newest.mode_actual === "manual" ? "" : said.onlyManual));
  strip(".rearm").textContent = said.rearm;
  lock(strip(".rearm"), whyNot("rearm") || unheard || (LATCHED.includes(newest.outcome) ? "" : said.nothingLatched));
  strip(".note").textContent = strip(".note").title = whyNot("mode");
}
