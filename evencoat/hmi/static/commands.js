// One dialog for all that is asked for: it says what will happen, and what came of it stays until somebody has read it.

import { refresh } from "./access.js";
import { byId, element, number, said as inWords, words } from "./tell.js";

const dialog = () => byId("confirm"), part = (name) => dialog().querySelector(name);
let asking = null, inputs = {}, busy = false;

export function begin() {
  part("form").addEventListener("submit", (event) => { event.preventDefault(); confirmed(); });
  part(".cancel").addEventListener("click", () => dialog().close());
  part(".fields").addEventListener("input", explain);
  byId("outcome").querySelector("button").addEventListener("click", dismissed);
  window.addEventListener("keydown", (event) => { if (event.key === "Escape" && !dialog().open) dismissed(); });
}

// A button that one may not use now says why.
export function lock(button, why) {
  button.disabled = why !== "";
  button.title = why;
}

// title; sentence(values): what will happen; fields: [{name, label, type, value, min, max, steps, unit}]; reason:
// "optional", "required" or "none"; confirm: on the button; act(values): {accepted, reason}; stays: open until
// accepted, and then one sees that it was.
export function propose(what) {
  if (dialog().open) return;
  const said = words(), { title, fields = [], reason = "optional", confirm = said.confirm } = what;
  asking = what;
  inputs = {};
  part("h2").textContent = title;
  part(".cancel").textContent = said.cancel;
  part(".go").textContent = confirm;
  part(".problem").textContent = "";
  const why = { name: "why", label: reason === "required" ? said.reasonNeeded : said.reasonMaybe, type: "text", most: 500, needed: reason === "required" };
  part(".fields").replaceChildren(...(reason === "none" ? fields : [...fields, why]).map(field));
  explain();
  dialog().showModal();
  (fields.length ? Object.values(inputs)[0] : part(".go")).focus();
}

function field({ name, label, type = "number", value = "", min, max, steps = [], unit = "", most, needed = true, fill: kind = "off" }) {
  const made = element("label", unit ? `${label} (${unit}, ${plain(min)} … ${plain(max)})` : label), row = element("span"), input = element("input");
  Object.assign(input, { type, name, required: needed, autocomplete: kind });
  if (most) input.maxLength = most;
  if (type === "number") Object.assign(input, { min, max, step: "any", inputMode: "decimal" });
  input.value = value;
  inputs[name] = input;
  row.append(input, ...steps.map((step) => {
    const button = element("button", `${step > 0 ? "+" : "−"}${Math.abs(step)}`);
    button.type = "button";
    button.addEventListener("click", () => { input.value = stepped(input.valueAsNumber, step, min, max); explain(); });
    return button;
  }));
  made.append(row);
  return made;
}

const plain = (value) => number(value, Number.isInteger(value) ? 0 : 1);

export function stepped(value, step, min, max) {
  return Math.min(Math.max(Math.round(1000 * ((Number.isFinite(value) ? value : min) + step)) / 1000, min), max);
}

const values = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.type === "number" ? input.valueAsNumber : input.value]));

function explain() { part(".sentence").textContent = asking.sentence(values()); }

async function confirmed() {
  if (busy) return;
  const { title, act, stays = false } = asking;
  busy = part(".go").disabled = true;
  const { accepted, reason } = await act(values());
  busy = part(".go").disabled = false;
  await refresh();
  if (stays && !accepted && dialog().open) {
    part(".problem").textContent = inWords(reason);
    return;
  }
  dialog().close();
  if (!stays) outcome(title, accepted, reason);
}

function outcome(title, accepted, reason) {
  const said = words(), bar = byId("outcome");
  bar.className = accepted ? "" : "alarm";
  bar.querySelector("span").textContent = [title, accepted ? said.accepted : said.refusedWord, inWords(reason)].filter(Boolean).join(" – ");
  bar.querySelector("button").textContent = said.dismiss;
  shown(true);
}

function dismissed() { shown(false); }

function shown(visible) {
  if (byId("outcome").hidden !== visible) return;
  byId("outcome").hidden = !visible;
  window.dispatchEvent(new Event("resize"));  // the pictures have more room, or less
}
