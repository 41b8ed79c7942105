// Pointing at a zone of a picture, by finger, mouse or arrow keys. One zone is marked, on all pages alike.

import { LEFT } from "./draw.js";
import { feed } from "./feed.js";

export const mark = { zone: null };

export function move(step) {
  if (!feed.line) return;
  const last = feed.line.zones - 1;
  mark.zone = Math.min(Math.max((mark.zone ?? (step > 0 ? -1 : last + 1)) + step, 0), last);
}

export function pointed(canvas, soon) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const zone = Math.floor((event.clientX - box.left - LEFT) / (box.width - LEFT) * feed.line.zones);
    mark.zone = zone >= 0 && zone < feed.line.zones ? zone : null;
    soon();
  };
  canvas.addEventListener("pointermove", at);
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    move(step);
    event.preventDefault();
    event.stopPropagation();
    soon();
  });
}
