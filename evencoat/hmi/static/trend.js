// The mean along the web and what the pump did about it, drawn by uPlot at most twice a second.

import { number, words } from "./tell.js";

const REDRAW_MS = 500, MOST_PCT = 10;

export class Trend {
  constructor(place) { this.place = place; this.plot = null; this.drawnAt = 0; this.tolerance = 0; }

  renew() { this.plot?.destroy(); this.plot = null; this.drawnAt = 0; }

  show(rows, line, span_s) {
    const now = performance.now();
    if (now - this.drawnAt < REDRAW_MS || rows.length < 2) return;
    this.drawnAt = now;
    this.tolerance = line.tolerance_pct;
    const end = rows[rows.length - 1].t, most = this.most(rows);
    const data = [rows.map((row) => (row.t - end) / 60), rows.map((row) => known(row.mean, most)), rows.map((row) => known(row.trim, most))];
    const width = this.place.clientWidth, height = this.place.clientHeight;
    if (!width || !height) return;
    if (!this.plot) this.plot = new uPlot(this.options(width, height), data, this.place);
    if (this.plot.width !== width || this.plot.height !== height) this.plot.setSize({ width, height });
    this.plot.setData(data, false);
    this.plot.batch(() => {
      this.plot.setScale("x", { min: -span_s / 60, max: 0 });
      this.plot.setScale("y", { min: -most, max: most });
    });
  }

  most(rows) {
    const values = rows.flatMap((row) => [row.mean, row.trim]).filter(Number.isFinite).map(Math.abs);
    return Math.min(Math.max(1.2 * this.tolerance, 1.05 * Math.max(0, ...values)), MOST_PCT);
  }

  options(width, height) {
    const axis = { stroke: "#5c5c5c", font: "12px system-ui, sans-serif", grid: { stroke: "#b8b8b8", width: 1 }, ticks: { show: false } };
    const said = words();
    return {
      width, height, legend: { show: false }, padding: [6, 18, 0, 0],
      cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false, auto: false }, y: { auto: false } },
      axes: [
        { ...axis, size: 20, gap: 2, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? said.now : `${number(-tick, tick % 1 ? 1 : 0)} ${said.minutes}`)), space: 110 },
        { ...axis, size: 44, gap: 4, space: 22, values: (_, ticks) => ticks.map((tick) => number(tick, 1)) },
      ],
      series: [{}, { label: said.mean, stroke: "#202020", width: 1.5 }, { label: said.trim, stroke: "#8a8a8a", width: 1.5 }],
      hooks: { drawClear: [(plot) => {
        const top = plot.valToPos(this.tolerance, "y", true), bottom = plot.valToPos(-this.tolerance, "y", true);
        plot.ctx.fillStyle = "#ededed";
        plot.ctx.fillRect(plot.bbox.left, top, plot.bbox.width, bottom - top);
      }] },
    };
  }
}

const known = (value, most) => (Number.isFinite(value) ? Math.min(Math.max(value, -most), most) : null);
