/** A chart of the last 15 minutes, or of the time since the console was started. */
import uPlot from 'uplot';
import { h } from './dom.js';
import { milliseconds } from './format.js';
import { onThemeChange } from './theme.js';

export interface ChartSeries {
  readonly label: string;
  /** The name of a color of the style sheet. */
  readonly color: 'accent' | 'bad' | 'second';
}

export interface ChartOptions {
  readonly title: string;
  readonly series: readonly ChartSeries[];
  readonly format: (value: number | null) => string;
  /** The text after each number of the vertical axis. */
  readonly unit: string;
}

const HEIGHT = 160;
/** Seconds. A chart begins with the shortest time, and widens until it has the longest. */
const MIN_SPAN = 60;
const MAX_SPAN = 15 * 60;
/** Seconds. The axis of a shorter time shows seconds. */
const MINUTES_SPAN = 5 * 60;
/** The key by which uPlot moves the cursors of all charts together. */
const SYNC = 'console';

type Values = readonly (number | null)[];

export class Chart {
  readonly element: HTMLElement;
  readonly #plot = h('div', { class: 'plot' });
  readonly #options: ChartOptions;
  readonly #observer: ResizeObserver;
  readonly #stopThemes: () => void;
  #uplot: uPlot | undefined;
  #data: uPlot.AlignedData = [[]];

  constructor(options: ChartOptions) {
    this.#options = options;
    this.element = h('figure', { class: 'chart' }, h('figcaption', {}, options.title), this.#plot);
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(this.#plot);
    this.#stopThemes = onThemeChange(() => {
      this.#uplot?.destroy();
      this.#uplot = undefined;
      this.#resize();
    });
  }

  /** `times`: seconds since the epoch. `columns`: the values of each series. */
  show(times: readonly number[], columns: readonly Values[]): void {
    this.#data = [[...times], ...columns.map((column) => [...column])];
    this.#uplot?.setData(this.#data, false);
    this.#setRange();
    // uPlot changes the legend only when the cursor moves.
    this.#uplot?.setLegend({});
    this.#describe(columns);
  }

  /** Sets the text for screen readers: the newest values. */
  #describe(columns: readonly Values[]): void {
    const { title, series, format } = this.#options;
    const values = series.map(({ label }, at) => `${label} ${format(columns[at]?.at(-1) ?? null)}`);
    this.#plot.setAttribute('aria-label', `${title}: ${values.join(', ')}`);
  }

  /** Seconds. */
  get #span(): number {
    const times = this.#data[0];
    const seconds = (times.at(-1) ?? 0) - (times[0] ?? 0);
    return Math.min(Math.max(seconds, MIN_SPAN), MAX_SPAN);
  }

  #setRange(): void {
    const last = this.#data[0].at(-1) ?? Date.now() / 1_000;
    this.#uplot?.setScale('x', { min: last - this.#span, max: last });
  }

  #resize(): void {
    const width = Math.floor(this.#plot.clientWidth);
    if (width === 0) return;
    if (this.#uplot === undefined) this.#create(width);
    else if (this.#uplot.width !== width) this.#uplot.setSize({ width, height: HEIGHT });
  }

  #create(width: number): void {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    const { series, format, unit } = this.#options;
    const axis = {
      stroke: color('muted'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: color('grid'), width: 1 },
      ticks: { show: false },
    };
    this.#plot.setAttribute('role', 'img');
    this.#uplot = new uPlot(
      {
        width,
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, points: { size: 6 } },
        scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
        axes: [
          {
            ...axis,
            size: 28,
            space: 70,
            values: (_, ticks) => ticks.map((tick) => timeOf(tick, this.#span < MINUTES_SPAN)),
          },
          {
            ...axis,
            size: 62,
            space: 34,
            values: (_, ticks) => ticks.map((tick) => Number(tick.toPrecision(4)) + unit),
          },
        ],
        series: [
          { label: 'Time', value: (plot, time) => timeOf(time ?? lastOf(plot, 0) ?? 0, true) },
          ...series.map(({ label, color: name }) => ({
            label,
            stroke: color(name),
            width: 1.5,
            points: { show: false },
            // Without a cursor the legend shows the newest values.
            value: (plot: uPlot, value: number | null, at: number) =>
              format(plot.legend.idx == null ? lastOf(plot, at) : value),
          })),
        ],
        legend: { live: true },
      },
      this.#data,
      this.#plot,
    );
    this.#setRange();
  }

  close(): void {
    this.#observer.disconnect();
    this.#stopThemes();
    this.#uplot?.destroy();
  }
}

const lastOf = (plot: uPlot, at: number): number | null => plot.data[at]?.at(-1) ?? null;

function timeOf(time: number, withSeconds: boolean): string {
  return new Date(time * 1_000).toTimeString().slice(0, withSeconds ? 8 : 5);
}

/** A chart of percentiles. Its show() takes the columns of p99 and p50, in this order. */
export function latencyChart(): Chart {
  return new Chart({
    title: 'Latency',
    series: [
      { label: 'p99', color: 'accent' },
      { label: 'p50', color: 'second' },
    ],
    format: milliseconds,
    unit: ' ms',
  });
}
