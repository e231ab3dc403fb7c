/** Tables of text, for people. */
import { printable } from './printable.js';

export interface Column<Row> {
  readonly title: string;
  /** Numbers are aligned to the right, texts to the left. Undefined: an empty cell. */
  readonly cell: (row: Row) => string | number | undefined;
}

/** The lines of a table: its titles, and a line for each row. All cells are made printable. */
export function tableLines<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[] {
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
  const texts = cells.map((line) => line.map((cell) => printable(String(cell ?? ''))));
  const titles = columns.map(({ title }) => title);
  const widths = titles.map((title, at) =>
    texts.reduce((widest, line) => Math.max(widest, widthOf(line[at] as string)), title.length),
  );
  const isNumber = columns.map((_, at) => {
    const given = cells.map((line) => line[at]).filter((cell) => cell !== undefined);
    return given.length > 0 && given.every((cell) => typeof cell === 'number');
  });
  return [titles, ...texts].map((line) =>
    line
      .map((text, at) => {
        const padding = ' '.repeat((widths[at] as number) - widthOf(text));
        return isNumber[at] ? padding + text : text + padding;
      })
      .join('  ')
      .trimEnd(),
  );
}

/** The number of characters; a character outside of the basic plane counts as one. */
function widthOf(text: string): number {
  return [...text].length;
}
