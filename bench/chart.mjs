// @ts-check
/**
 * Draws calls/s relative to grpc-js as bars. FILE is written by `npm run bench -- --json FILE` or
 * `npm run bench -- rpc --json FILE`.
 *   node bench/chart.mjs FILE > docs/benchmark.svg
 *   node bench/chart.mjs FILE --table                the same as a Markdown table, for the README
 */
import { readFileSync } from 'node:fs';

/** @typedef {{ group: string, side: string, rate: number, failures: number }} Line */

const BASE = 'grpc-js';
const OURS = 'getty';
const GROUPS = [
  '1 connection, 512 in flight',
  '1 connection, 64 in flight',
  '1 KiB body, 64 in flight',
];
/** The labels of the bars; other peers have their own names. */
const NAMES = new Map([
  ['ceiling', 'node:net by hand'],
  ['moleculer', 'Moleculer TCP'],
  ['nest', 'Nest TCP'],
]);
/** The color of text. It is readable on a white and on a black page. */
const TEXT = '#7d838c';
const OUR_BAR = '#2f81f7';
const PEER_BAR = '#9aa1ab';
const WIDTH = 720;
const LEFT = 150;
const RIGHT = 90;
const TOP = 58;
const BAR = 16;
const STEP = 23;
const TITLE = 30;
const GAP = 14;

/** @param {number} ratio */
function times(ratio) {
  return `${ratio >= 10 ? Math.round(ratio) : ratio.toPrecision(2)} ×`;
}

/** @param {string} text */
function escaped(text) {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
}

/** The bars of one group, the fastest first, in units of the base. @param {Line[]} lines */
function barsOf(lines) {
  const base = lines.find(({ side }) => side === BASE);
  if (base === undefined) return [];
  const sound = lines.filter(({ failures, rate }) => failures === 0 && rate > 0);
  return sound
    .map(({ side, rate }) => ({ side, ratio: rate / base.rate }))
    .sort((a, b) => b.ratio - a.ratio);
}

/** @param {Line[]} lines @param {string} machine */
function draw(lines, machine) {
  const groups = GROUPS.map((name) => ({
    name,
    bars: barsOf(lines.filter(({ group }) => group === name)),
  })).filter(({ bars }) => bars.length > 0);
  if (groups.length === 0) throw new Error(`the file has no calls of ${BASE} without failures`);
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map(({ ratio }) => ratio)));
  let y = TOP;
  const parts = groups.map(({ name, bars }) => {
    const title = `<text class="title" x="${LEFT}" y="${y + 18}">${escaped(name)}</text>`;
    y += TITLE;
    const drawn = bars.map(({ side, ratio }) => {
      const width = Math.max(1.5, (ratio / most) * (WIDTH - LEFT - RIGHT));
      const middle = y + BAR / 2;
      y += STEP;
      return [
        `<text x="${LEFT - 8}" y="${middle}" dy="0.35em" text-anchor="end"${side === OURS ? ' class="ours"' : ''}>${escaped(NAMES.get(side) ?? side)}</text>`,
        `<rect x="${LEFT}" y="${middle - BAR / 2}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${side === OURS ? OUR_BAR : PEER_BAR}"/>`,
        `<text x="${(LEFT + width + 6).toFixed(1)}" y="${middle}" dy="0.35em"${side === OURS ? ' class="ours"' : ''}>${times(ratio)}</text>`,
      ].join('\n');
    });
    y += GAP;
    return [title, ...drawn].join('\n');
  });
  const summary = groups
    .map(
      ({ name, bars }) =>
        `${name}: ${bars.map(({ side, ratio }) => `${side} ${times(ratio)}`).join(', ')}`,
    )
    .join('. ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 12}" width="${WIDTH}" height="${y + 12}" role="img" aria-label="${escaped(summary)}">
<style>
text { font: 13px system-ui, sans-serif; fill: ${TEXT}; }
.title { font-weight: 600; }
.ours { font-weight: 700; fill: ${OUR_BAR}; }
.note { font-size: 11px; }
</style>
<text class="title" x="${LEFT}" y="22" style="font-size: 16px">Calls per second, ${BASE} = 1</text>
<text class="note" x="${LEFT}" y="41">unary calls, client and server in two processes over loopback; longer is better</text>
${parts.join('\n')}
<text class="note" x="${LEFT}" y="${y}">${escaped(machine)}</text>
</svg>`;
}

/** Makes a Markdown table of the ratios. @param {Line[]} lines @param {string} machine */
function table(lines, machine) {
  const columns = GROUPS.map(
    (name) =>
      new Map(
        barsOf(lines.filter(({ group }) => group === name)).map(({ side, ratio }) => [side, ratio]),
      ),
  );
  const rows = [...new Set(columns.flatMap((column) => [...column.keys()]))].map((side) => {
    const cells = columns.map((column) => {
      const ratio = column.get(side);
      return ratio === undefined ? '–' : times(ratio);
    });
    return `| ${NAMES.get(side) ?? side} | ${cells.join(' | ')} |`;
  });
  return [
    `| calls/s, ${BASE} = 1 | ${GROUPS.join(' | ')} |`,
    `|---${'|---'.repeat(GROUPS.length)}|`,
    ...rows,
    '',
    `${machine}, client and server in two processes.`,
  ].join('\n');
}

const [file, form] = process.argv.slice(2);
if (file === undefined || (form !== undefined && form !== '--table')) {
  console.error(
    'usage: node bench/chart.mjs FILE > docs/benchmark.svg\n       node bench/chart.mjs FILE --table',
  );
  process.exit(2);
}
const read = JSON.parse(readFileSync(file, 'utf8'));
const { lines, machine } = read.rpc ?? read;
console.log(form === '--table' ? table(lines, machine) : draw(lines, machine));
