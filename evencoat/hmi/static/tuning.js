// Tuning and commissioning: what the controller believes of the line, which law acts and why, how far it is proved.

import { feed } from "./feed.js";
import { asked, byId, element, facts, fill, moment, number, plusMinus, renewed, said as inWords, signed, words } from "./tell.js";

let belief = null, why = "";

export const poll_ms = 5000;

export function begin() {}

export function show() {
  const said = words(), { newest } = feed, at = (id) => byId(id).querySelector("dl");
  facts(at("belief"), belief ? map(said, belief) : []);
  facts(at("web-belief"), belief ? web(said, belief, newest) : []);
  const rungs = belief?.loop.rungs ?? [newest.rung];
  renewed(document.querySelector("#ladder .rungs"), [rungs, newest.rung], () => rungs.map((rung, k) =>
    element("li", inWords(rung), rung === newest.rung ? (k ? "here alarm" : "here") : "")));
  facts(at("ladder"), law(said, newest));
  facts(at("commissioned"), trust(said, newest));
  byId("believed").textContent = belief ? fill(said.asOf, { x: moment(belief.t_unix_s) }) : why && fill(said.unknown, { x: why });
}

function map(said, { map: told, commissioned }) {
  const from = told.learnt ? said.isLearnt : commissioned ? said.isCommissioned : said.drawing;
  return [
    [said.from, from],
    [said.gain, number(told.gain_pct_per_um, 3, `%/µm`)],
    [said.gainFactor, `× ${number(told.gain_factor, 2)} ${plusMinus(told.gain_sd_pct, 0, "%")}`],
    [said.kernel, `${number(told.kernel_fwhm_pitches, 2)} ${said.pitches} ${plusMinus(told.kernel_sd_pct, 0, "%")}`],
    [said.alignment, `${signed(told.shift_mm, 1, "mm")} ${plusMinus(told.shift_sd_mm, 1, "mm")}`],
    [said.unsure, number(told.unsure_mm, 1, "mm")], [said.stretch, signed(told.stretch_pct, 2, "%")],
    [said.modes, number(told.modes, 0)], [said.shortest, number(told.shortest_mm, 0, "mm")],
    [said.play, number(told.play_um, 2, "µm")], [said.seen, number(told.looks, 0)],
    [said.deadBolts, told.bolts_out.join(", ") || said.noBolts, told.bolts_out.length ? "warn" : ""],
  ];
}

function web(said, { delay, slurry, noise }, newest) {
  return [
    [said.wetAt, number(delay.wet_m, 1, "m")], [said.dryAt, number(delay.dry_m, 1, "m")],
    [said.dead, `${number(delay.dead_m, 1, "m")} = ${number(delay.dead_m / Math.max(newest.web_speed_mps, 1e-3), 1, "s")}`],
    [said.lateBy, delay.late_pct === null ? "–" : signed(delay.late_pct, 0, "%")],
    [said.density, number(slurry.density_kgm3, 0, "kg/m³")], [said.solids, number(slurry.solids_pct, 1, "%")], [said.flow, number(slurry.flow_index, 2)],
    [said.step, `${signed(slurry.step_pct, 2, "%")} ${plusMinus(slurry.step_sd_pct, 2, "%")}`], [said.here, signed(slurry.here_pct, 2, "%")],
    [said.foretold, `${signed(newest.batch_foretold_pct, 2, "%")} ${plusMinus(newest.batch_foretold_sd_pct, 2, "%")}`],
    [said.drift, noise.drift_factor === null ? "–" : `× ${number(noise.drift_factor, 2)}`], [said.noise, noise.noise_factor === null ? "–" : `× ${number(noise.noise_factor, 2)}`],
    [said.pressed, number(newest.pump_pressure_kpa, 0, "kPa")],
  ];
}

function law(said, newest) {
  return [
    [said.law, belief?.law ?? "–"], [said.cause, inWords(newest.rung_cause), newest.rung === "own law" ? "long" : "long warn"],
    [said.failures, number(belief?.loop.failures, 0)],
    [said.loopCd, number(belief?.loop.closed_loop_cd_s, 1, "s")], [said.loopMd, number(belief?.loop.closed_loop_md_s, 1, "s")],
    [said.limitsNow, newest.limits.map(inWords).join(", ") || inWords("none")],
    [said.againstPi, `CD ${number(newest.against_pi_cd, 2)}, MD ${number(newest.against_pi_md, 2)}`],
  ];
}

function trust(said, newest) {
  const sure = belief?.certificate, signed_off = belief?.commissioned;
  return [
    [said.harrisIndex, number(newest.harris_md, 2)], [said.sigmaAlong, number(newest.sigma_md_pct, 2, "%")],
    [said.surpriseCd, number(newest.surprise_cd, 2)], [said.surpriseMd, number(newest.surprise_md, 2)],
    [said.authority, newest.guest_authority === null ? "–" : number(100 * newest.guest_authority, 0, "%")], [said.adds, signed(newest.guest_pct, 3, "%")],
    [said.certificate, sure ? `${number(sure.sigmas, 0)} ${fill(said.sigmas, { x: number(sure.most_sigmas, 0) })}` : "–", "long"],
    [said.signed, signed_off ? fill(said.signedBy, { x: signed_off.found_at, y: signed_off.signed_off_by }) : said.notCommissioned, "long"],
    [said.version, belief?.version ?? "–"],
  ];
}

export async function poll() {
  const { told, trouble } = await asked("belief.json");
  belief = told?.known ? told : null;
  why = told?.why ?? trouble;
}
