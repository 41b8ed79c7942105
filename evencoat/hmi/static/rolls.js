// Rolls of the journal: when, how long, how even, how often somebody had to step in.

import { asked, moment, number, table, words } from "./tell.js";

const part = (name) => document.querySelector(`#page-rolls .${name}`);
let before = null, rolls = [];

export const poll_ms = 10000;

export function begin() {
  part("newest").addEventListener("click", () => { before = null; poll(); });
  part("older").addEventListener("click", () => { before = rolls.at(-1)?.first_row ?? before; poll(); });
}

export function show() {}

export async function poll() {
  const { told } = await asked(before === null ? "rolls.json" : `rolls.json?before=${before}`);
  if (told) { rolls = told; spoken(); }
}

export function spoken() {
  const said = words(), wide = (key) => [said[key], "number"];
  const columns = [wide("rollNumber"), [said.begun, "when"], [said.ended, "when"], ...["metres", "sigmaOf", "cdOf", "mdOf", "cpk", "outM", "auto", "batches", "interventions"].map(wide)];
  table(part("rows"), columns, rolls.map((roll) => ({ level: "", cells: [
    number(roll.roll, 0), moment(roll.begun_unix_s), moment(roll.ended_unix_s), number(roll.metres, 0), number(roll.sigma_pct), number(roll.sigma_cd_pct),
    number(roll.sigma_md_pct), number(roll.cpk), number(roll.out_m, 0), number(roll.auto_pct, 0), number(roll.batches, 0), number(roll.interventions, 0),
  ] })), said.noRolls);
  part("older").disabled = !rolls.length;
}
