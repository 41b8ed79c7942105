// The alarms that stand, what each means and what to do about it, how many there are, and how well the devices are.

import { post, whyNot } from "./access.js";
import { lock, propose } from "./commands.js";
import * as diagnoses from "./diagnoses.js";
import { asked, byId, element, facts, fill, moment, number, renewed, said as inWords, spoken as language, words } from "./tell.js";

const POLL_MS = 2000, SHELF_MOST_MIN = 480;
const WAITING = ["active", "returned"], LEVELS = { urgent: "alarm", high: "alarm", medium: "warn", low: "" };
const place = (name) => document.querySelector(`#page-alarms ${name}`);
let told = null, rows = new Map();

export const poll_ms = 3000, { poll } = diagnoses;  // of diagnoses, while they are looked at; alarms are heard on every page

export function begin() {}
export function show() { if (told) buttons(); }

export function watch() {
  heard().finally(() => setTimeout(watch, POLL_MS));
}

async function heard() {
  const answer = await asked("alarms.json");
  if (!answer.told) return;
  told = answer.told;
  counted();
  spoken();
}

// How many nobody has acknowledged, for whoever looks at another page.
export function counted() {
  const count = told ? told.alarms.filter(({ state }) => WAITING.includes(state)).length : 0, badge = document.querySelector("nav a[href='#alarms'] output");
  badge.textContent = count || "";
  badge.className = count ? "alarm" : "";
}

export function spoken() {
  diagnoses.spoken();
  if (!told) return;
  const said = words();
  renewed(place(".rows"), told.alarms.map(({ id }) => id), () => laid(said));
  for (const alarm of told.alarms) filled(alarm, said);
  place(".problem").textContent = inWords(told.problem);
  facts(byId("figures").querySelector("dl"), figures(told.figures, said));
  renewed(byId("health").querySelector("ul"), told.health, () => devices(told.health, said));
  buttons();
}

// A row is made once and its words renewed, so that a button does not go away under a finger.
function laid(said) {
  rows = new Map();
  if (!told.alarms.length) return [element("p", said.noAlarms, "note")];
  const table = element("table"), head = element("tr");
  const columns = [[said.alarmState, "short"], [said.priority, "tight"], [said.what, "text"], [said.likely, "text"], [said.whatFollows, "text"], [said.action, "text"], [said.since, "since"], ["", "pair"]];
  head.append(...columns.map(([heading, className]) => element("th", heading, className)));
  table.append(element("thead"), element("tbody"));
  table.tHead.append(head);
  table.tBodies[0].append(...told.alarms.map(({ id }) => {
    const row = element("tr", "", "open"), cells = columns.map(([, className]) => element("td", "", className));
    const seen = element("button", said.acknowledge), aside = element("button", said.shelve);
    row.dataset.alarm = id;
    seen.className = "seen";
    aside.className = "aside";
    seen.type = aside.type = "button";
    seen.addEventListener("click", () => acknowledge(id));
    aside.addEventListener("click", () => shelve(id));
    cells.at(-1).append(seen, aside);
    row.append(...cells);
    rows.set(id, { cells, seen, aside });
    return row;
  }));
  return [table];
}

const named = (id) => told.alarms.find((alarm) => alarm.id === id);

function filled(alarm, said) {
  const { cells } = rows.get(alarm.id), { text, cause, consequence, action } = alarm.words[language()];
  const shelf = alarm.shelved_for_s === null ? "" : fill(said.shelvedFor, { x: number(alarm.shelved_for_s / 60, 0) });
  const by = alarm.who ? `, ${alarm.who}${alarm.why ? `: ${alarm.why}` : ""}` : "", first = alarm.first_out ? `${said.firstOut} ` : "";
  const detail = alarm.detail ? ` (${inWords(alarm.detail)})` : "";
  const put = [`${inWords(alarm.state)}${shelf}${by}`, inWords(alarm.priority), `${first}${text}${detail}`, cause, consequence, action, since(alarm, said)];
  put.forEach((one, k) => { if (cells[k].textContent !== one) cells[k].textContent = one; });
  const level = { active: LEVELS[alarm.priority], returned: "warn" }[alarm.state] ?? "";
  cells[0].className = `short ${level}`;
  cells[1].className = `tight ${level}`;
}

// When it came by the clock on the wall, and for how long it has stood by the line's, which may run at another pace.
function since({ began_unix_s, lasted_s }, said) {
  if (began_unix_s === null) return "–";
  const length = lasted_s < 90 ? `${number(lasted_s, 0)} s` : `${number(lasted_s / 60, 0)} ${said.minutesShort}`;
  return `${moment(began_unix_s)}\n(${length})`;
}

function buttons() {
  const said = words(), why = whyNot("alarm") || (told.elsewhere ? inWords(told.problem) : "");
  for (const [id, { seen, aside }] of rows) {
    const { state } = named(id);
    lock(seen, why || (WAITING.includes(state) ? "" : said.alreadySeen));
    lock(aside, why || (state === "shelved" ? said.alreadyShelved : ""));
  }
}

function acknowledge(id) {
  const said = words(), { text } = named(id).words[language()];
  const act = async ({ why }) => { const answer = await post("alarms/acknowledge", { key: id, why }); await heard(); return answer; };
  propose({ title: said.acknowledge, sentence: () => fill(said.acknowledgeSentence, { x: text }), act });
}

function shelve(id) {
  const said = words(), { text } = named(id).words[language()];
  const act = async ({ minutes, why }) => { const answer = await post("alarms/shelve", { key: id, minutes, why }); await heard(); return answer; };
  propose({
    title: said.shelve, sentence: ({ minutes }) => fill(said.shelveSentence, { x: text, y: number(minutes, 0) }), reason: "required", act,
    fields: [{ name: "minutes", label: said.howLong, value: 30, min: 1, max: SHELF_MOST_MIN, steps: [-30, -5, 5, 30], unit: said.minutesShort }],
  });
}

function figures(found, said) {
  const most = found.most_frequent[0];
  return [
    [said.lastTen, number(found.last_ten_minutes, 0)], [said.meanTen, number(found.mean_per_ten_minutes, 2), found.usable ? "" : "warn"], [said.peakTen, number(found.peak_ten_minutes, 0)],
    [said.standingNow, number(found.standing, 0)], [said.unseen, number(found.unacknowledged, 0), found.unacknowledged ? "warn" : ""], [said.shelvedNow, number(found.shelved, 0)],
    [said.floods, number(100 * found.flood_share, 1, "%"), found.flood_share > 0 ? "warn" : ""], [said.staleAlarms, number(found.stale, 0)], [said.mostOften, most ? `${most[0]} (${number(most[1], 0)})` : "–"],
    [said.overSpan, `${number(found.span_s / 3600, 1)} h`],
  ];
}

// Every device after NAMUR NE 107; of the bolts only those that are not well.
function devices(health, said) {
  const bolt = (name) => /^bolt \d+$/.test(name), all = Object.entries(health);
  const well = all.filter(([name, { status }]) => bolt(name) && status === "good").length;
  const shown = all.filter(([name, { status }]) => !bolt(name) || status !== "good");
  const items = shown.map(([name, { status, because }]) => {
    const item = element("li", `${inWords(name)}: ${inWords(status)}`, { good: "", failure: "alarm" }[status] ?? "warn");
    item.title = because.join(", ");
    return item;
  });
  return well ? [...items, element("li", fill(said.boltsWell, { x: well }))] : items;
}
