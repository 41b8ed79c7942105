// The audit chain, newest first, and its verdict for who asks.

import { asked, fill, moment, number, said as inWords, table, words } from "./tell.js";

const part = (name) => document.querySelector(`#page-audit ${name}`);
let before = null, records = [];

export const poll_ms = 5000;

export function begin() {
  part(".newest").addEventListener("click", () => { before = null; poll(); });
  part(".older").addEventListener("click", () => { before = records.at(-1)?.seq ?? before; poll(); });
  part(".verify").addEventListener("click", verify);
}

export function show() {}

async function verify() {
  const output = part("output");
  output.className = "";
  output.textContent = words().verifying;
  const { told, trouble } = await asked("verify.json");
  output.className = told?.ok ? "" : "alarm";
  if (!told) output.textContent = trouble;
  else if (told.ok) output.textContent = fill(words().whole, { x: number(told.records, 0), y: `${told.head_seq}:${told.head_hash.slice(0, 12)}…`, z: number(told.cycles, 0) });
  else output.textContent = fill(words().broken, { x: told.broken });
}

export async function poll() {
  const { told } = await asked(before === null ? "audit.json" : `audit.json?before=${before}`);
  if (told) { records = told; spoken(); }
}

export function spoken() {
  const said = words();
  const columns = [[said.number, "number"], [said.when, "when"], [said.who, "short"], [said.what, "short"], [said.was, "old"], [said.is, "text"], [said.whyTold, "text"]];
  table(part(".rows"), columns, records.map((record) => ({ level: "", cells: [
    number(record.seq, 0), moment(record.t_unix_s), record.who, inWords(record.what), record.old, record.new, record.why,
  ] })), said.noRecords);
  part(".older").disabled = !records.length;
}
