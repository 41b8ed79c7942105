// The newest cycle and the half hour before it: taken from the socket as they come, kept for whoever draws.

export const SPAN_S = 1800;
const ROWS_MOST = 1800, RETRY_MS = 1000, OLD_S = 3;

export const feed = { line: null, newest: null, rows: [], connected: null, heardAt: 0 };  // connected: null before the first try
const listeners = [];

export function onCycle(listener) { listeners.push(listener); }

function decoded(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  head.arrays.forEach((name, k) => {
    head[name] = new Float32Array(buffer.slice(4 + length + 4 * k * head.zones, 4 + length + 4 * (k + 1) * head.zones));
  });
  return head;
}

function taken(cycle) {
  const { line } = feed, moved = cycle.target_gsm / line.target_mean_gsm;  // what is asked for may differ from the recipe
  const target = line.target_gsm.map((one) => one * moved);
  const deviation = Array.from(cycle.profile_gsm, (value, zone) => (cycle.profile_valid[zone] ? 100 * (value / target[zone] - 1) : NaN));
  const known = deviation.filter(Number.isFinite);
  const mean = known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : NaN;
  const row = { t: cycle.t_line_ns / 1e9, deviation, mean, trim: cycle.pump_trim_pct };
  const last = feed.rows[feed.rows.length - 1];
  if (last && row.t < last.t) feed.rows = [];  // another web, or a log played from its beginning
  if (last && row.t - last.t < SPAN_S / ROWS_MOST && feed.rows.length > 1) feed.rows[feed.rows.length - 1] = { ...row, t: last.t };
  else feed.rows.push(row);
  while (feed.rows.length && row.t - feed.rows[0].t > SPAN_S) feed.rows.shift();
  feed.newest = { ...cycle, target, deviation, mean };
  for (const listener of listeners) listener();
}

export function span() {
  const { newest, rows } = feed;
  return Math.min(SPAN_S, Math.max(120, newest.t_line_ns / 1e9 - rows[0].t));
}

// What of the picture is not of now: seconds since a new cycle, or null; Infinity where nobody answers.
export function age() {
  if (feed.connected === false) return Infinity;
  const since_s = feed.heardAt ? (Date.now() - feed.heardAt) / 1000 : feed.newest ? Date.now() / 1000 - feed.newest.t_unix_s : 0;
  return since_s > OLD_S ? since_s : null;
}

export async function recent() {
  const content = await (await fetch(`recent?minutes=${SPAN_S / 60}`)).arrayBuffer();
  for (let at = 0; at < content.byteLength;) {
    const length = new DataView(content).getUint32(at, true);
    taken(decoded(content.slice(at + 4, at + 4 + length)));
    at += 4 + length;
  }
}

export function listen() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { feed.connected = true; };
  socket.onmessage = (message) => {
    if (typeof message.data === "string") return;
    const cycle = decoded(message.data);
    if (feed.newest && cycle.cycle !== feed.newest.cycle) feed.heardAt = Date.now();
    taken(cycle);
  };
  socket.onclose = () => { feed.connected = false; setTimeout(listen, RETRY_MS); };
}
