// Rolls of the journal: when, how long, how even, how often somebody had to step in; and what the plant calls what runs.

import { ask, whyNot } from "./access.js";
import { lock, propose } from "./commands.js";
import { asked, moment, number, table, words } from "./tell.js";

const NAMES = { roll_name: "rollName", production_order: "orderName", material_lot: "lotOf" }, NAME_MOST = 80;
const part = (name) => document.querySelector(`#page-rolls .${name}`);
let before = null, rolls = [], running = {};  // running: names that hold now

export const poll_ms = 10000;

export function begin() {
  part("newest").addEventListener("click", () => { before = null; poll(); });
  part("older").addEventListener("click", () => { before = rolls.at(-1)?.first_row ?? before; poll(); });
  part("name").addEventListener("click", nameIt);
}

// Only what was changed is asked for: a PLC may have named the rest meanwhile.
function nameIt() {
  const said = words(), stood = running;
  const changed = (values) => Object.fromEntries(Object.keys(NAMES).map((name) => [name, (values[name] ?? "").trim()]).filter(([name, value]) => value !== (stood[name] ?? "")));
  propose({
    title: said.nameRoll,
    sentence: (values) => (Object.keys(changed(values)).length ? said.nameSentence : said.nameNothing),
    fields: Object.entries(NAMES).map(([name, word]) => ({ name, label: said[word], type: "text", most: NAME_MOST, value: stood[name] ?? "", needed: false })),
    act: async (values) => {
      const names = changed(values);
      if (!Object.keys(names).length) return { accepted: false, reason: said.nameNothing };
      const answer = await ask("lot", names)(values.why);
      if (answer.accepted) Object.assign(running, names);
      poll();
      return answer;
    },
  });
}

export function show() { lock(part("name"), whyNot("lot")); }

export async function poll() {
  const { told } = await asked(before === null ? "rolls.json" : `rolls.json?before=${before}`);
  if (!told) return;
  rolls = told;
  if (before === null) running = Object.fromEntries(Object.keys(NAMES).map((name) => [name, told[0]?.[name] ?? ""]));
  spoken();
}

export function spoken() {
  const said = words(), wide = (key) => [said[key], "number"];
  const columns = [wide("rollNumber"), ...Object.values(NAMES).map((word) => [said[word], "text"]), [said.begun, "when"], [said.ended, "when"], ...["metres", "sigmaOf", "cdOf", "mdOf", "cpk", "outM", "auto", "batches", "interventions"].map(wide)];
  table(part("rows"), columns, rolls.map((roll) => ({ level: "", cells: [
    number(roll.roll, 0), ...Object.keys(NAMES).map((name) => roll[name]), moment(roll.begun_unix_s), moment(roll.ended_unix_s), number(roll.metres, 0), number(roll.sigma_pct), number(roll.sigma_cd_pct),
    number(roll.sigma_md_pct), number(roll.cpk), number(roll.out_m, 0), number(roll.auto_pct, 0), number(roll.batches, 0), number(roll.interventions, 0),
  ] })), said.noRolls);
  part("older").disabled = !rolls.length;
}
