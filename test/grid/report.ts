/** Writes the results of a run as a table into a document. */
import type { CellResult } from './cell.js';
import { KNOWN_FAILURES } from './known-failures.js';

const BEGIN = '<!-- grid: begin -->';
const END = '<!-- grid: end -->';

/** The document with the table of `results` between its markers. */
export function withMatrix(document: string, results: readonly CellResult[]): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the document lacks ${BEGIN} and ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${matrix(results)}\n${document.slice(end)}`;
}

function matrix(results: readonly CellResult[]): string {
  const count = (outcome: string): number =>
    results.filter((result) => result.outcome === outcome).length;
  const summary = `${results.length} cells: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped.`;
  const places = [...new Set(results.map(({ where }) => where))];
  const sections = places.map((place) => {
    const own = results.filter(({ where }) => where === place);
    return `### Faults: ${place}\n\n${table(own)}`;
  });
  return [summary, ...sections].join('\n\n');
}

const HEAD = `| fault, transport, registry | outcome | calls | failed | doubled | lost | recovery | longest outage |
|---|---|--:|--:|--:|--:|--:|--:|`;

function table(results: readonly CellResult[]): string {
  const notes: string[] = [];
  const rows = results.map(({ name, where, outcome, problems, figures, remarks = [] }) => {
    const title = name.slice(where.length + 2);
    const f = figures;
    const cells =
      f === undefined
        ? ['', '', '', '', '', '']
        : [f.calls, f.failed, f.doubled, f.lost, seconds(f.recovery), seconds(f.outage)];
    const reason = outcome === 'failed' ? (KNOWN_FAILURES[name] ?? problems[0]) : problems[0];
    if (outcome !== 'passed') notes.push(`- ${title}: ${outcome}: ${oneLine(reason ?? '')}`);
    for (const remark of remarks) notes.push(`- ${title}: ${remark}`);
    return `| ${title} | ${outcome} | ${cells.join(' | ')} |`;
  });
  return [HEAD, ...rows, ...(notes.length > 0 ? ['', ...notes] : []), ''].join('\n');
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function oneLine(text: string): string {
  return text.split('\n')[0]?.slice(0, 300) ?? '';
}
