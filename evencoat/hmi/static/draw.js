// Pictures on canvases. Each takes its data, draws all of it anew, and keeps nothing.

const GRAY = [196, 196, 196], LOW = [21, 80, 150], HIGH = [190, 60, 0], UNKNOWN = [232, 232, 232];

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

export function profile(canvas, deviation, line, marked, words) {
  const { pen, width, height } = sized(canvas), left = 44, foot = 16;
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

export function lips(canvas, gap, target, stuck, line, marked, words) {
  const { pen, width, height } = sized(canvas), left = 44, foot = 16;
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
    pen.fillStyle = stuck[zone] ? "#b00020" : "#8a8a8a";
    pen.fillRect(x + 1, y(gap[zone]), Math.max(wide - 2, 1), height - foot - y(gap[zone]));
    pen.strokeStyle = "#202020"; pen.lineWidth = 2;
    pen.beginPath(); pen.moveTo(x + 1, y(target[zone])); pen.lineTo(x + wide - 1, y(target[zone])); pen.stroke();
  }
  zoneScale(pen, left, wide, height, line, marked, words);
}

// rows: [{t, mean, trim}]
export function trend(canvas, rows, line, span_s, words) {
  const { pen, width, height } = sized(canvas), left = 44, foot = 16;
  if (rows.length < 2) return;
  const end = rows[rows.length - 1].t, x = (t) => left + (width - left) * (1 - (end - t) / span_s);
  const shown = rows.filter((row) => end - row.t <= span_s);
  const values = shown.flatMap((row) => [row.mean, row.trim]).filter(Number.isFinite).map(Math.abs);
  const most = Math.min(Math.max(1.2 * line.tolerance_pct, 1.05 * Math.max(0, ...values)), 10);
  const y = scale(height, -most, most, foot);
  pen.fillStyle = "#ededed";
  pen.fillRect(left, y(line.tolerance_pct), width - left, y(-line.tolerance_pct) - y(line.tolerance_pct));
  grid(pen, left, width, y, ticks(-most, most, 5), digits);
  for (const [name, colour, thick] of [["trim", "#8a8a8a", 1.5], ["mean", "#202020", 1.5]]) {
    pen.strokeStyle = colour; pen.lineWidth = thick; pen.beginPath();
    let down = false;
    for (const row of shown) {
      if (!Number.isFinite(row[name])) { down = false; continue; }
      const at = y(Math.min(Math.max(row[name], -most), most));
      if (down) pen.lineTo(x(row.t), at); else pen.moveTo(x(row.t), at);
      down = true;
    }
    pen.stroke();
  }
  timeScale(pen, left, width, height, span_s, words);
}
