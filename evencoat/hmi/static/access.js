// Who is logged in with this browser, who is in command, and what that lets one ask for. The desk decides; this only
// says beforehand what it would refuse, so that nobody presses a button in vain.

import { fill, said as inWords, words } from "./tell.js";

const POLL_MS = 2000;
const ROLES = ["viewer", "operator", "engineer", "admin"];
const LEAST = { take_command: "operator", release_command: "operator", mode: "operator", gap_um: "operator", pump_trim_pct: "operator", zone_manual: "operator", lot: "operator", rearm: "operator", target_gsm: "engineer", recipe: "engineer", alarm: "operator", save: "engineer" };
const AT_THE_DESK = ["take_command", "release_command", "lot"];  // what needs nobody to be in command
const BESIDE_IT = ["alarm", "save"];  // a line whose control process is gone has alarms and lips, too

// takes: False where the page was made for looking only, such as that of a run that is played again.
export const session = { takes: true, who: null, role: null, csrf: null, via: "page", holder: null, users: "", desk: "", sends: null, idle_s: 0 };
const listeners = [];

export function onSession(listener) { listeners.push(listener); }

export async function refresh() {
  try {
    const answer = await fetch("session.json");
    if (answer.ok) Object.assign(session, await answer.json());
  } catch {
    return;  // the picture says that nobody answers
  }
  for (const listener of listeners) listener();
}

export function watch() {
  refresh().finally(() => { if (session.takes) setTimeout(watch, POLL_MS); });
}

export function inCommand() {
  return session.who !== null && session.holder?.who === session.who && session.holder.via === session.via;
}

export function holder() {
  return session.holder ? `${session.holder.who} (${inWords(session.holder.via)})` : words().nobody;
}

export function covers(role) {
  return ROLES.indexOf(session.role) >= ROLES.indexOf(role);
}

// Why one may not ask for this now; "" where one may.
export function whyNot(action) {
  const said = words(), least = LEAST[action];
  if (!session.takes) return said.noDesk;
  if (!session.who) return session.users || said.logInFirst;
  if (!covers(least)) return fill(said.takesRole, { x: session.who, y: inWords(session.role), z: inWords(least) });
  if (BESIDE_IT.includes(action)) return "";
  if (session.desk) return session.desk;
  if (AT_THE_DESK.includes(action) || inCommand()) return "";
  return session.holder ? fill(said.otherCommands, { x: holder() }) : said.takeFirst;
}

export async function post(address, told) {
  try {
    const headers = { "content-type": "application/json", "x-csrf-token": session.csrf ?? "" };
    const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(told) });
    const { accepted = true, reason = "", error = "" } = await answer.json();
    return { accepted: answer.ok && accepted, reason: error || reason };
  } catch {
    return { accepted: false, reason: words().lost };
  }
}

export const ask = (action, values) => (why) => post("ask", { action, values, why });
