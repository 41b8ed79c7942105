// Recipes: their versions, which one is in use and what differs from it; one is loaded, the last good lips are kept.

import { covers, post, whyNot } from "./access.js";
import { lock, propose } from "./commands.js";
import { feed } from "./feed.js";
import { asked, element, facts, fill, moment, number, renewed, said as inWords, signed, words } from "./tell.js";

const part = (name) => document.querySelector(`#page-recipes ${name}`);
const NAME_MOST = 64;
const FIELDS = { line: "lineOf", target_gsm: "target", tolerance_pct: "tolerance", speed_m_per_min: "designSpeed", slurry: "slurryOf", material_definition: "materialOf", material_lot: "lotOf", job_order: "orderOf" };
let told = null, trouble = "", chosen = null, differs = null;

export const poll_ms = 5000;

export function begin() {
  part(".load").addEventListener("click", () => load(false));
  part(".with-lips").addEventListener("click", () => load(true));
  part(".save").addEventListener("click", save);
}

const one = () => told?.recipes.find(({ ref }) => ref === chosen) ?? null;

export async function poll() {
  const answer = await asked("recipes.json");
  told = answer.told ?? told;
  trouble = answer.trouble;
  if (told && !one()) chosen = told.in_use && told.recipes.some(({ ref }) => ref === told.in_use.ref) ? told.in_use.ref : told.recipes[0]?.ref ?? null;
  await compared();
}

async function compared() {
  const ref = chosen;
  const found = ref ? await asked(`recipe.json?ref=${encodeURIComponent(ref)}`) : { told: null };
  if (ref === chosen) differs = found.told;
  spoken();
}

export function spoken() {
  if (!told) return;
  const said = words();
  renewed(part(".rows"), [told, chosen], () => laid(said));
  part(".problem").textContent = told.problem || trouble;
  part("#chosen h2").textContent = differs?.against && chosen ? fill(said.against, { x: chosen, y: differs.against }) : chosen ?? said.noRecipes;
  facts(part("#chosen dl"), details(said));
  show();
}

function laid(said) {
  if (!told.recipes.length) return [element("p", said.noRecipes, "note")];
  const table = element("table"), head = element("tr");
  const columns = [[said.recipe, "ref"], [said.target, "number"], [said.tolerance, "number"], [said.designSpeed, "number"], [said.slurryOf, "text"], [said.lotOf, "short"], [said.lastGood, "good"], [said.savedAt, "when"], [said.who, "short"], [said.whyTold, "text"]];
  head.append(...columns.map(([heading, className]) => element("th", heading, className)));
  table.append(element("thead"), element("tbody"));
  table.tHead.append(head);
  table.tBodies[0].append(...told.recipes.map((recipe) => laidRow(recipe, said, columns)));
  return [table];
}

function laidRow(recipe, said, columns) {
  const row = element("tr"), { lips } = recipe, button = element("button", recipe.ref);
  row.dataset.recipe = recipe.ref;
  button.type = "button";
  button.setAttribute("aria-pressed", recipe.ref === chosen);
  button.addEventListener("click", () => { chosen = recipe.ref; differs = null; compared(); });
  const good = lips ? fill(said.lipsOf, { x: number(lips.roll_last, 0), y: number(lips.sigma_pct, 2, "%") }) : inWords("none");
  const put = [number(recipe.target_gsm, 2, "g/m²"), `±${number(recipe.tolerance_pct, 1, "%")}`, number(recipe.speed_m_per_min, 1, "m/min"), recipe.slurry, recipe.material_lot, good, moment(Date.parse(recipe.saved_at) / 1000), recipe.who, recipe.why];
  const name = element("td", "", "ref");
  name.append(button);
  if (told.in_use?.sha256 === recipe.sha256) name.append(element("strong", said.inUse));
  row.append(name, ...put.map((text, k) => {
    const cell = element("td", text, columns[k + 1][1]);
    cell.title = text;
    return cell;
  }));
  return row;
}

const plain = (value) => (typeof value === "number" ? number(value, 2) : value || "–");

function details(said) {
  const recipe = one(), { in_use: used } = told, rows = [];
  rows.push([said.inUseNow, used ? fill(said.usedSince, { x: used.ref, y: moment(used.t_unix_s), z: used.who }) : said.noneInUse, "long"]);
  if (feed.newest) rows.push([said.targetNow, number(feed.newest.target_gsm, 2, "g/m²")]);
  if (!recipe) return rows;
  if (recipe.unfit) rows.push([said.unfit, recipe.unfit, "long warn"]);
  if (recipe.lips) rows.push([said.lastGood, fill(said.lipsWhere, { x: number(recipe.lips.web_m, 0), y: number(recipe.lips.roll_last, 0), z: number(recipe.lips.target_gsm, 2), t: moment(Date.parse(recipe.lips.to_at) / 1000) }), "long"]);
  if (!differs || differs.against === null) return rows;
  if (differs.why) rows.push([said.differing, differs.why, "long warn"]);
  else if (!differs.fields.length && !differs.lips) rows.push([said.differing, said.nothingDiffers, "long"]);
  for (const [field, old, now] of differs.fields) rows.push([said[FIELDS[field]] ?? field, `${plain(old)} → ${plain(now)}`, "long"]);
  if (differs.lips?.taken !== undefined) rows.push([said.differing, differs.lips.taken ? said.lipsTaken : said.lipsNoMore, "long"]);
  else if (differs.lips) rows.push([said.differing, fill(said.lipsMoved, { x: signed(differs.lips.mean_um), y: differs.lips.zone, z: signed(differs.lips.most_um) }), "long"]);
  return rows;
}

export function show() {
  const said = words(), recipe = one(), { newest } = feed;
  const not = whyNot("recipe") || (newest ? "" : said.unheard) || (recipe ? recipe.unfit : said.noRecipes);
  part(".load").textContent = said.loadRecipe;
  part(".with-lips").textContent = said.loadLips;
  part(".save").textContent = said.saveLips;
  lock(part(".load"), not);
  lock(part(".with-lips"), not || (recipe.lips ? "" : said.noLips) || (newest.mode_actual === "manual" ? "" : said.onlyManual));
  lock(part(".save"), whyNot("save"));
  part(".note").textContent = not && covers("engineer") ? inWords(not) : inWords(whyNot("save"));
}

function load(lips) {
  const said = words(), { ref, target_gsm } = one();
  const values = { x: ref, y: number(feed.newest.target_gsm, 2), z: number(target_gsm, 2) };
  propose({
    title: fill(lips ? said.loadLipsTitle : said.loadTitle, { x: ref }), sentence: () => fill(lips ? said.loadLipsSentence : said.loadSentence, values),
    act: async ({ why }) => { const answer = await post("recipes/load", { ref, lips, why }); await poll(); return answer; },
  });
}

function save() {
  const said = words();
  propose({
    title: said.saveLips, sentence: ({ name }) => fill(said.saveSentence, { x: name }),
    fields: [{ name: "name", label: said.recipeName, type: "text", value: one()?.name ?? "", most: NAME_MOST }],
    act: async ({ name, why }) => { const answer = await post("recipes/save", { name: name.trim(), why }); await poll(); return answer; },
  });
}
