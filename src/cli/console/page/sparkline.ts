/**
 * A small line of the last two minutes, or of the time since the console was started. A number
 * beside it says the same in text.
 */
import { svg } from './dom.js';

/** A line has the width of at least 30 points, one for each second, and shows 120 at most. */
const MIN_POINTS = 30;
const MAX_POINTS = 120;
const WIDTH = 90;
const HEIGHT = 24;

export class Sparkline {
  readonly element = svg('svg', {
    class: 'sparkline',
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  readonly #line = svg('path', { class: 'line' });

  constructor(tone: 'accent' | 'bad' | 'plain') {
    this.element.classList.add(tone);
    this.element.append(this.#line);
  }

  /** `values`: one for each second, oldest first. */
  show(values: readonly (number | null)[]): void {
    const last = values.slice(-MAX_POINTS);
    const top = Math.max(1e-9, ...last.map((value) => value ?? 0));
    let path = '';
    let isDrawing = false;
    const points = Math.max(last.length, MIN_POINTS);
    const first = points - last.length;
    last.forEach((value, at) => {
      if (value === null) {
        isDrawing = false;
        return;
      }
      const x = ((first + at) / (points - 1)) * WIDTH;
      const y = HEIGHT - 2 - (value / top) * (HEIGHT - 4);
      path += `${isDrawing ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
      isDrawing = true;
    });
    this.#line.setAttribute('d', path);
  }
}
