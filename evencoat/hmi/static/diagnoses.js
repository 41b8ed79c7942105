// What is wrong with the line and where, as diagnosis names it: a table beside the alarms, and a line for the overview.

import { asked, byId, fill, number, said as inWords, spoken as language, table, words } from "./tell.js";

const OVER_MOST = 5, NO_FAULT = ["batch-changed"];
let told = null, trouble = "";

export async function poll() {
  const answer = await asked("diagnosis.json");
  told = answer.told ?? told;
  trouble = answer.trouble || answer.told?.problem || "";
  spoken();
}

export function spoken() {
  const said = words(), place = byId("diagnoses"), rows = told ? [...told.standing.map((one) => row(one, said, true)), ...over().map((one) => row(one, said, false))] : [];
  const columns = [[said.what, "text"], [said.sure, "tight"], [said.evidence, "text"], [said.since, "since"], [said.likely, "text"], [said.whatFollows, "text"], [said.action, "text"]];
  place.querySelector(".problem").textContent = trouble && fill(said.noDiagnosis, { x: inWords(trouble) });
  place.querySelector(".rows").classList.toggle("faded", trouble !== "");
  table(place.querySelector(".rows"), columns, rows, told ? said.nothingNamed : "");
}

const alike = (one, other) => one.cause === other.cause && one.where === other.where;

// What was named of late and stands no more.
const over = () => told.history.filter((one) => !told.standing.some((other) => alike(one, other))).slice(0, OVER_MOST);

// Words are served in the page's language, the place within them in the control process'.
const placed = (one) => one.words[language()].text.replace(one.where, inWords(one.where));

function row(one, said, stands) {
  const { cause, consequence, action } = one.words[language()], ago_s = told.line_s - one.since_line_s;
  const length = ago_s < 90 ? `${number(ago_s, 0)} s` : `${number(ago_s / 60, 0)} ${said.minutesShort}`;
  const since = fill(stands ? said.namedFor : said.namedOver, { x: length, y: number(one.web_m, 0) });
  return { level: stands ? `open ${levelOf(one)}` : "over", cells: [placed(one), number(100 * one.probability, 0, "%"), one.evidence, since, cause, consequence, action] };
}

const levelOf = ({ cause }) => (NO_FAULT.includes(cause) ? "" : "warn");

// The surest of what stands, for the overview; none where nothing does, or where nobody can say now.
export function line() {
  if (!told?.standing.length || trouble) return [];
  const said = words(), [first, ...more] = told.standing, named = fill(said.named, { x: placed(first), y: number(100 * first.probability, 0) });
  return [[levelOf(first), more.length ? named + fill(said.namedMore, { x: more.length }) : named]];
}
