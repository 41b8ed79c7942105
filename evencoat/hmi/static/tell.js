// Words, numbers and the small change of the page's documents. What comes from the line goes in as text, never as markup.

import { SAID, SENTENCES, WORDS } from "./words.js";

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
export const words = () => WORDS[language];
export const locale = () => (language === "zh" ? "zh-CN" : "en-GB");
export const spoken = () => language;

export function otherLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
}

export function fill(text, values) {
  return text.replace(/\{(\w)\}/g, (_, name) => values[name]);
}

// What the control process says in English, in the page's language; as it came where there are no words for it.
export function said(text) {
  if (language === "en" || !text) return text;
  if (SAID[text]) return SAID[text];
  for (const [pattern, sentence] of SENTENCES) {
    const found = pattern.exec(text);
    if (found) return fill(sentence, found.map((one) => SAID[one] ?? one));
  }
  const [subject, ...rest] = text.split(": ");
  if (!rest.length) return text;
  const about = subject.replace(/^heartbeat of (.*)$/, (_, who) => `${SAID[who] ?? who}${SAID.heartbeat}`);
  return `${SAID[about] ?? about}：${said(rest.join(": "))}`;
}

const known = (value) => typeof value === "number" && Number.isFinite(value);

export function number(value, digits = 2, unit = "") {
  if (!known(value)) return "–";
  const text = value.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return unit ? `${text} ${unit}` : text;
}

export function signed(value, digits = 2, unit = "") {
  return known(value) && value >= 0 ? `+${number(value, digits, unit)}` : number(value, digits, unit).replace("-", "−");
}

export function plusMinus(value, digits = 2, unit = "") {
  return known(value) ? `±${number(value, digits, unit)}` : "";
}

export function clock(unix_s) { return new Date(1000 * unix_s).toLocaleTimeString(locale()); }

export function moment(unix_s) {
  return new Date(1000 * unix_s).toLocaleString(locale(), { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export const byId = (id) => document.getElementById(id);

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Puts children in only where what they say has changed: what a person has scrolled to or marked stays.
export function renewed(parent, key, make) {
  const told = JSON.stringify([language, key]);
  if (parent.dataset.key === told) return;
  parent.dataset.key = told;
  parent.replaceChildren(...make());
}

// rows: [[label, value, level]]
export function facts(parent, rows) {
  renewed(parent, rows, () => rows.flatMap(([label, value, level]) => [element("dt", label), element("dd", value, level ?? "")]));
}

// columns: [[heading, className]]; rows: [{level, cells: [text]}]
export function table(parent, columns, rows, none) {
  renewed(parent, [columns, rows, none], () => {
    const made = element("table"), head = element("tr");
    head.append(...columns.map(([heading, className]) => element("th", heading, className)));
    made.append(element("thead"), element("tbody"));
    made.tHead.append(head);
    made.tBodies[0].append(...rows.map(({ level, cells }) => {
      const row = element("tr", "", level ?? "");
      row.addEventListener("click", () => row.classList.toggle("open"));  // cut texts whole, for a finger too
      row.append(...cells.map((text, k) => {
        const cell = element("td", text, columns[k][1]);
        cell.title = text;
        return cell;
      }));
      return row;
    }));
    return rows.length ? [made] : [element("p", none, "note")];
  });
}

export function list(parent, items) {
  renewed(parent, items, () => items.map(({ level, text, time }) => {
    const item = element("li", "", level);
    if (time) item.append(element("time", time));
    item.append(text);
    return item;
  }));
}

// What is done where the page is closed to whoever has not logged in.
let closed = () => {};
export function onClosed(listener) { closed = listener; }

// What an address says; null where it has nothing to say now, and why in `trouble`.
export async function asked(address) {
  try {
    const answer = await fetch(address);
    const told = await answer.json().catch(() => null);  // an address that this server does not know answers in plain text
    if (answer.status === 401) closed();
    if (answer.ok && told !== null) return { told, trouble: "" };
    return { told: null, trouble: told?.error ?? fill(words().noAnswer, { x: answer.status }) };
  } catch {
    return { told: null, trouble: words().lost };
  }
}
