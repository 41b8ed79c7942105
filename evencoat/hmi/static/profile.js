// The profile page: areal density across the web as read and as believed, lips under it, capability, recipe.

import * as draw from "./draw.js";
import { feed } from "./feed.js";
import { pointed } from "./marks.js";
import { marked } from "./overview.js";
import { asked, byId, clock, element, facts, fill, number, renewed, signed, words } from "./tell.js";

const CHOICES = [10, 30, 120];
const canvasOf = (id) => document.querySelector(`#${id} canvas`);
let minutes = CHOICES[0], virtual = null, why = "", capable = null, redraw = () => {};

export const poll_ms = 5000;

export function begin(soon) {
  redraw = soon;
  pointed(canvasOf("cd"), soon);
  pointed(canvasOf("cdlips"), soon);
}

export function show() {
  const { newest, line } = feed, said = words();
  draw.density(canvasOf("cd"), newest, virtual, line, marked("profile"), said);
  draw.lips(canvasOf("cdlips"), newest, line, marked("lips"), said);
  byId("virtual").textContent = virtual ? fill(said.virtualAt, { x: clock(virtual.t_unix_s), y: number(virtual.web_m, 0) }) : why && fill(said.noVirtual, { x: why });
  renewed(byId("minutes"), minutes, () => CHOICES.map((choice) => {
    const button = element("button", `${choice} ${said.minutesShort}`);
    button.type = "button";
    button.setAttribute("aria-pressed", choice === minutes);
    button.addEventListener("click", () => { minutes = choice; capable = null; redraw(); poll(); });
    return button;
  }));
  facts(document.querySelector("#capability dl"), capability(said, line));
  facts(document.querySelector("#recipe dl"), recipe(said, line, newest));
}

function capability(said, line) {
  const found = capable ?? {}, cpk = found.cpk;
  return [
    [said.sigmaAll, number(found.sigma_pct, 2, "%")], [said.sigmaCd, number(found.sigma_cd_pct, 2, "%")],
    [said.sigmaMd, number(found.sigma_md_pct, 2, "%")], [said.meanOff, signed(found.mean_pct, 2, "%")],
    [said.cpk, number(cpk, 2), typeof cpk === "number" && cpk < 1 ? "warn" : ""],
    [said.out, typeof found.out_m === "number" ? `${number(found.out_m, 1, "m")} (${number(found.out_pct, 1, "%")})` : "–", found.out_m ? "warn" : ""],
    [said.coated, number(found.metres, 0, "m")], [said.looks, number(found.looks, 0)],
  ];
}

function recipe(said, line, newest) {
  return [
    [said.target, number(line.target_mean_gsm, 1, "g/m²")], [said.targetNow, number(newest.target_gsm, 2, "g/m²")], [said.tolerance, `±${number(line.tolerance_pct, 1, "%")}`],
    [said.width, number(line.web_width_mm, 0, "mm")], [said.zoneCount, `${line.zones} × ${number(line.pitch_mm, 1, "mm")}`],
    [said.designSpeed, number(60 * line.web_speed_mps, 1, "m/min")],
    [said.density, number(line.density_kgm3, 0, "kg/m³")], [said.solids, number(line.solids_pct, 1, "%")],
    [said.lipRange, `${number(line.gap_min_um, 0)} … ${number(line.gap_max_um, 0, "µm")}`],
    [said.neighbour, number(line.neighbour_max_um, 1, "µm")], [said.bend, number(line.bend_max_um, 1, "µm")],
    [said.trimRange, `±${number(line.trim_max_pct, 1, "%")}`],
  ];
}

export async function poll() {
  const wanted = minutes;
  const [believed, found] = await Promise.all([asked("virtual.json"), asked(`capability.json?minutes=${wanted}`)]);
  virtual = believed.told?.known ? believed.told : null;
  why = believed.told?.why ?? believed.trouble;
  if (wanted === minutes) capable = found.told;
  redraw();
}
