// Pictures on canvases. Each takes its data, draws all of it anew, and keeps nothing.

const GRAY = [196, 196, 196], LOW = [21, 80, 150], HIGH = [190, 60, 0], UNKNOWN = [232, 232, 232];
export const HELD_BACK_UM = 0.5;  // of a wish that a limit cut: less is rounding

export function sized(canvas) {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(box.width * ratio)), height = Math.max(1, Math.round(box.height * ratio));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, box.width, box.height);
  pen.font = "12px system-ui, sans-serif";
  return { pen, width: box.width, height: box.height };
}

// Neutral inside the tolerance, blue where too thin, orange where too thick, fully so at three times the tolerance.
function shade(deviation, tolerance) {
  if (!Number.isFinite(deviation)) return UNKNOWN;
  const over = (Math.abs(deviation) - tolerance) / (2 * tolerance);
  if (over <= 0) {
    const tint = 10 * deviation / tolerance;
    return [GRAY[0] - tint, GRAY[1] - tint, GRAY[2] - tint];
  }
  const share = 0.35 + 0.65 * Math.min(over, 1), end = deviation < 0 ? LOW : HIGH;
  return GRAY.map((from, k) => from + share * (end[k] - from));
}

// rows: [{t, deviation}], oldest first, over span_s up to now; zones from top to bottom.
export function rollMap(canvas, rows, line, span_s, words) {
  const { pen, width, height } = sized(canvas);
  const foot = 16, tall = height - foot;
  if (!rows.length) return;
  const columns = Math.max(1, Math.floor(width)), image = new ImageData(columns, line.zones);
  const end = rows[rows.length - 1].t;
  let k = 0;
  for (let x = 0; x < columns; x++) {
    const t = end - span_s * (1 - (x + 1) / columns);
    while (k + 1 < rows.length && rows[k + 1].t <= t) k++;
    const near = Math.abs(rows[k].t - t) < Math.max(3 * span_s / columns, 3), row = near ? rows[k].deviation : null;
    for (let zone = 0; zone < line.zones; zone++) {
      const colour = row ? shade(row[zone], line.tolerance_pct) : UNKNOWN, at = 4 * (zone * columns + x);
      image.data[at] = colour[0]; image.data[at + 1] = colour[1]; image.data[at + 2] = colour[2];
      image.data[at + 3] = 255;
    }
  }
  const sheet = new OffscreenCanvas(columns, line.zones);
  sheet.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sheet, 0, 0, width, tall);
  timeScale(pen, 0, width, height, span_s, words);
}

function timeScale(pen, left, width, height, span_s, words) {
  pen.fillStyle = "#5c5c5c";
  pen.textBaseline = "bottom";
  for (const share of width - left < 500 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
    const minutes = Math.round(10 * span_s * (1 - share) / 60) / 10;
    pen.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
    pen.fillText(share === 1 ? words.now : `${minutes} ${words.minutes}`, left + share * (width - left), height);
  }
}

function scale(height, low, high, foot) {
  return (value) => (height - foot) * (1 - (value - low) / (high - low));
}

function grid(pen, left, width, y, values, label) {
  pen.strokeStyle = "#b8b8b8"; pen.fillStyle = "#5c5c5c"; pen.lineWidth = 1;
  pen.textAlign = "right"; pen.textBaseline = "middle";
  for (const value of values) {
    pen.beginPath(); pen.moveTo(left, y(value)); pen.lineTo(width, y(value)); pen.stroke();
    pen.fillText(label(value), left - 4, y(value));
  }
}

export function ticks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * step; value += step) found.push(value);
  return found;
}

const digits = (value) => `${Math.round(1000 * value) / 1000}`;

export const LEFT = 52;

export function profile(canvas, deviation, line, marked, words) {
  const { pen, width, height } = sized(canvas), left = 52, foot = 16;
  const known = deviation.filter(Number.isFinite).map(Math.abs);
  const most = Math.max(2 * line.tolerance_pct, 1.1 * Math.max(0, ...known));
  const y = scale(height, -most, most, foot), wide = (width - left) / line.zones;
  pen.fillStyle = "#ededed";
  pen.fillRect(left, y(line.tolerance_pct), width - left, y(-line.tolerance_pct) - y(line.tolerance_pct));
  grid(pen, left, width, y, ticks(-most, most, 5), digits);
  for (let zone = 0; zone < line.zones; zone++) {
    const value = deviation[zone], x = left + zone * wide;
    if (!Number.isFinite(value)) {
      pen.fillStyle = "#c0c0c0"; pen.fillRect(x + 1, y(most), wide - 2, y(-most) - y(most));
      continue;
    }
    const out = Math.abs(value) > line.tolerance_pct;
    pen.fillStyle = out ? (value < 0 ? "#155096" : "#be3c00") : "#707070";
    pen.fillRect(x + 1, Math.min(y(0), y(value)), Math.max(wide - 2, 1), Math.max(Math.abs(y(value) - y(0)), 1));
  }
  zoneScale(pen, left, wide, height, line, marked, words);
}

function zoneScale(pen, left, wide, height, line, marked, words) {
  pen.fillStyle = "#5c5c5c"; pen.textAlign = "center"; pen.textBaseline = "bottom";
  const every = Math.ceil(line.zones / 12);
  for (let zone = 0; zone < line.zones; zone += every) pen.fillText(zone + 1, left + (zone + 0.5) * wide, height);
  if (marked !== null && marked.text) {
    pen.fillStyle = "#202020"; pen.textAlign = "right"; pen.textBaseline = "top";
    pen.fillText(`${words.zone} ${marked.zone + 1}: ${marked.text}`, left + line.zones * wide, 0);
    pen.strokeStyle = "#202020";
    pen.strokeRect(left + marked.zone * wide, 0.5, wide, height - 17);
  }
}

// A mark where each lip is sent; a hollow one where the law would have it, where a limit holds it back.
export function lips(canvas, newest, line, marked, words) {
  const { gap_um: gap, gap_target_um: target, gap_law_um: wished, zone_not_following: stuck } = newest;
  const { pen, width, height } = sized(canvas), left = 52, foot = 16;
  const all = [...gap, ...target].filter(Number.isFinite);
  if (!all.length) return;
  const middle = (Math.min(...all) + Math.max(...all)) / 2, half = Math.max(0.6 * (Math.max(...all) - Math.min(...all)), 5);
  const low = middle - half, high = middle + half, y = scale(height, low, high, foot);
  const wide = (width - left) / line.zones;
  grid(pen, left, width, y, ticks(low, high, 6), digits);
  for (const limit of [line.gap_min_um, line.gap_max_um]) {
    if (limit < low || limit > high) continue;
    pen.strokeStyle = "#b00020"; pen.lineWidth = 2; pen.beginPath(); pen.moveTo(left, y(limit)); pen.lineTo(width, y(limit)); pen.stroke();
  }
  for (let zone = 0; zone < line.zones; zone++) {
    const x = left + zone * wide;
    pen.fillStyle = stuck[zone] ? "#b00020" : newest.zone_manual[zone] ? "#1f4e8c" : "#8a8a8a";
    pen.fillRect(x + 1, y(gap[zone]), Math.max(wide - 2, 1), height - foot - y(gap[zone]));
    pen.strokeStyle = "#202020"; pen.lineWidth = 2;
    pen.beginPath(); pen.moveTo(x + 1, y(target[zone])); pen.lineTo(x + wide - 1, y(target[zone])); pen.stroke();
    if (newest.limits.length && Math.abs(wished[zone] - target[zone]) > HELD_BACK_UM) {
      pen.strokeStyle = "#b35900"; pen.strokeRect(x + 0.3 * wide, y(Math.min(Math.max(wished[zone], low), high)) - 2, 0.4 * wide, 4);
    }
  }
  zoneScale(pen, left, wide, height, line, marked, words);
}

// Areal density across the web, g/m2: target, tolerance, what the gauge reads, and what is believed at the die with its
// interval. virtual: {areal_density_gsm, half_gsm} or null.
export function density(canvas, newest, virtual, line, marked, words) {
  const { pen, width, height } = sized(canvas), left = 52, foot = 16, share = line.tolerance_pct / 100;
  const read = Array.from(newest.profile_gsm, (value, zone) => (newest.profile_valid[zone] ? value : NaN));
  const ends = virtual ? virtual.areal_density_gsm.flatMap((one, k) => [one - virtual.half_gsm[k], one + virtual.half_gsm[k]]) : [];
  const all = [...read, ...ends, ...newest.target.flatMap((one) => [one * (1 - 1.5 * share), one * (1 + 1.5 * share)])].filter(Number.isFinite);
  const room = 0.03 * (Math.max(...all) - Math.min(...all)), low = Math.min(...all) - room, high = Math.max(...all) + room;
  const y = scale(height, low, high, foot), wide = (width - left) / line.zones, x = (zone) => left + (zone + 0.5) * wide;
  for (let zone = 0; zone < line.zones; zone++) {
    const target = newest.target[zone], at = left + zone * wide;
    pen.fillStyle = "#ededed";
    pen.fillRect(at, y(target * (1 + share)), wide + 0.5, y(target * (1 - share)) - y(target * (1 + share)));
    if (!Number.isFinite(read[zone])) { pen.fillStyle = "#c0c0c0"; pen.fillRect(at + 1, 0, wide - 2, height - foot); }
  }
  grid(pen, left, width, y, ticks(low, high, 8), digits);
  if (virtual) {
    pen.fillStyle = "rgba(60, 60, 60, 0.18)"; pen.beginPath();
    virtual.areal_density_gsm.forEach((one, k) => pen.lineTo(x(k), y(one + virtual.half_gsm[k])));
    for (let k = line.zones - 1; k >= 0; k--) pen.lineTo(x(k), y(virtual.areal_density_gsm[k] - virtual.half_gsm[k]));
    pen.fill();
    path(pen, virtual.areal_density_gsm, x, y, "#404040", 1.5, [6, 4]);
  }
  path(pen, newest.target, x, y, "#707070", 1, []);
  path(pen, read, x, y, "#202020", 2, []);
  read.forEach((value, zone) => {
    const off = 100 * (value / newest.target[zone] - 1), out = Math.abs(off) > line.tolerance_pct;
    if (!Number.isFinite(value)) return;
    pen.fillStyle = out ? (off < 0 ? "#155096" : "#be3c00") : "#202020";
    const radius = out ? 4 : 2;
    pen.beginPath(); pen.arc(x(zone), y(value), radius, 0, 7); pen.fill();
  });
  zoneScale(pen, left, wide, height, line, marked, words);
}

const CHANCE_DULL = 0.05, CHANCE_FULL = 0.5, STRIP = 18;

// What is foreseen across the web, deviation in percent: expected, half: of its interval, and under it the chance of each
// zone to be beyond tolerance, coloured from where it is worth a look. told: {expected_pct, half, zone_out} or null.
export function ahead(canvas, told, line, marked, words) {
  const { pen, width, height } = sized(canvas), left = LEFT, foot = 16 + STRIP;
  if (!told) return;
  const { expected_pct: expected, half, zone_out } = told, tolerance = line.tolerance_pct;
  const most = Math.max(1.5 * tolerance, ...expected.map((one, k) => 1.05 * (Math.abs(one) + half[k])));
  const y = scale(height, -most, most, foot), wide = (width - left) / line.zones, x = (zone) => left + (zone + 0.5) * wide;
  pen.fillStyle = "#ededed";
  pen.fillRect(left, y(tolerance), width - left, y(-tolerance) - y(tolerance));
  grid(pen, left, width, y, ticks(-most, most, 6), digits);
  pen.fillStyle = "rgba(60, 60, 60, 0.22)"; pen.beginPath();
  expected.forEach((one, k) => pen.lineTo(x(k), y(one + half[k])));
  for (let k = line.zones - 1; k >= 0; k--) pen.lineTo(x(k), y(expected[k] - half[k]));
  pen.fill();
  path(pen, [-0.5, line.zones - 0.5], (k) => (k ? width : left), () => y(0), "#707070", 1, []);
  path(pen, expected, x, y, "#202020", 2, [6, 4]);
  zone_out.forEach((chance, zone) => chanceOf(pen, chance, expected[zone], left + zone * wide, height - foot + 2, wide));
  zoneScale(pen, left, wide, height, line, marked, words);
}

function chanceOf(pen, chance, expected, x, top, wide) {
  const share = Math.min(Math.max((chance - CHANCE_DULL) / (CHANCE_FULL - CHANCE_DULL), 0), 1), end = expected < 0 ? LOW : HIGH;
  pen.fillStyle = `rgb(${GRAY.map((from, k) => Math.round(from + share * (end[k] - from))).join()})`;
  pen.fillRect(x + 0.5, top, Math.max(wide - 1, 1), STRIP - 4);
  if (wide < 15) return;
  pen.fillStyle = share > 0.5 ? "#ffffff" : "#202020"; pen.textAlign = "center"; pen.textBaseline = "middle";
  pen.fillText(Math.round(100 * chance), x + wide / 2, top + STRIP / 2 - 1.5);
}

function path(pen, values, x, y, colour, thick, dashes) {
  pen.strokeStyle = colour; pen.lineWidth = thick; pen.setLineDash(dashes); pen.beginPath();
  let down = false;
  values.forEach((value, k) => {
    if (!Number.isFinite(value)) { down = false; return; }
    if (down) pen.lineTo(x(k), y(value)); else pen.moveTo(x(k), y(value));
    down = true;
  });
  pen.stroke(); pen.setLineDash([]);
}
