// The alarm list: the alarms among the journal's events.

import { asked, moment, said as inWords, table, words } from "./tell.js";

const place = () => document.querySelector("#page-alarms .rows");
export const poll_ms = 2000;

export function begin() {}
export function show() {}

export async function poll() {
  const said = words(), note = document.querySelector("#page-alarms section > .note");
  const { told: events } = await asked("events.json");
  if (!events) return;
  const rows = events.filter(({ kind }) => kind === "alarm").map((event) => ({ level: "", cells: [moment(event.t_unix_s), inWords(event.kind), event.text] }));
  table(place(), [[said.when, "when"], [said.kind, "short"], [said.what, "text"]], rows, said.noAlarms);
  note.textContent = said.alarmsNote;
}
