/** Writes the results of a run as tables into a document. */
import type { CellResult } from './cell.js';
import { KNOWN_FAILURES } from './known-failures.js';

const BEGIN = '<!-- grid: begin -->';
const END = '<!-- grid: end -->';

const PLACES: Readonly<Record<string, string>> = {
  registry: 'Faults of the registry',
  provider: 'Faults of one of three providers',
  link: 'Faults between both consumers and one provider',
  client: 'Faults of one of two consumers',
  scale: 'Large numbers',
};
const FIGURES_HEAD = `| fault, transport, registry | outcome | calls | failed | doubled | lost | recovery | longest outage |
|---|---|--:|--:|--:|--:|--:|--:|`;
const REMARKS_HEAD = `| fault, transport, registry | outcome | remark |
|---|---|---|`;

/** The document with the tables of `results` between its markers. */
export function withMatrix(document: string, results: readonly CellResult[]): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the document lacks ${BEGIN} and ${END}`);
  const places = Object.entries(PLACES).map(([place, title]) => {
    const own = results.filter(({ where }) => where === place);
    return own.length === 0
      ? ''
      : [`### ${title}`, worst(own), figuresTable(own), remarksTable(own)];
  });
  const parts = [summary(results), ...places.flat()].filter((part) => part !== '');
  return `${document.slice(0, begin + BEGIN.length)}\n\n${parts.join('\n\n')}\n\n${document.slice(end)}`;
}

function summary(results: readonly CellResult[]): string {
  const count = (outcome: string): number =>
    results.filter((result) => result.outcome === outcome).length;
  const figures = results.flatMap((result) => result.figures ?? []);
  const calls = figures.reduce((sum, each) => sum + each.calls, 0);
  return [
    `${results.length} cells: ${count('passed')} passed, ${count('failed')} failed,`,
    `${count('skipped')} skipped. ${calls.toLocaleString('en-US')} calls.`,
  ].join(' ');
}

/** The worst times, of cells without long streams. */
function worst(results: readonly CellResult[]): string {
  const figures = results.flatMap((each) =>
    each.calls === 'streams' || each.figures === undefined ? [] : [each.figures],
  );
  if (figures.length === 0) return '';
  const recoveries = figures.map(({ recovery }) => recovery).sort((one, other) => one - other);
  const median = recoveries[Math.floor(recoveries.length / 2)] ?? 0;
  const recovery = `Recovery: median ${seconds(median)}, longest ${seconds(recoveries.at(-1) ?? 0)}.`;
  const outage = Math.max(...figures.map((each) => each.outage));
  return `${recovery} Longest outage: ${seconds(outage)}. Both are without long streams.`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function titleOf({ name, where }: CellResult): string {
  return name.slice(where.length + 2);
}

function figuresTable(results: readonly CellResult[]): string {
  const rows = results.flatMap((result) => {
    if (result.figures === undefined) return [];
    const { calls, failed, doubled, lost, recovery, outage } = result.figures;
    const times = [recovery, outage].map(seconds);
    const fields = [titleOf(result), result.outcome, calls, failed, doubled, lost, ...times];
    return [`| ${fields.join(' | ')} |`];
  });
  return rows.length === 0 ? '' : [FIGURES_HEAD, ...rows].join('\n');
}

/** Why cells failed or were skipped, and further figures. */
function remarksTable(results: readonly CellResult[]): string {
  const rows = results.flatMap((result) => {
    const { name, outcome, problems, remarks = [] } = result;
    const known = outcome === 'failed' ? KNOWN_FAILURES[name] : undefined;
    const texts = [...(known === undefined ? problems.slice(0, 1) : [known]), ...remarks];
    if (texts.length === 0) return [];
    return [`| ${titleOf(result)} | ${outcome} | ${texts.map(oneLine).join('; ')} |`];
  });
  return rows.length === 0 ? '' : [REMARKS_HEAD, ...rows].join('\n');
}

function oneLine(text: string): string {
  return (text.split('\n')[0] ?? '').replaceAll('|', '/').slice(0, 400);
}
