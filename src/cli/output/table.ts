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

/** The size of a terminal, in characters. */
export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** The lines of a screen, from its top to its bottom. */
export interface ScreenLines {
  readonly head: readonly string[];
  /** The last ones are left out if the screen has no room for them. */
  readonly body: readonly string[];
  readonly foot: readonly string[];
}

/**
 * The lines that fit on a screen, with one row left for the cursor below them. Each is cut to the
 * columns. The first line of `head` stays on every screen; then `foot` comes before `body`.
 * `size`: undefined for no limit.
 */
export function fitScreen({ head, body, foot }: ScreenLines, size?: ScreenSize): string[] {
  if (size === undefined) return [...head, ...body, ...foot];
  const rows = Math.max(1, size.rows - 1);
  const kept = Math.max(0, rows - head.length - foot.length);
  return [...head, ...body.slice(0, kept), ...foot]
    .slice(0, rows)
    .map((line) => cutLine(line, size.columns));
}

function cutLine(line: string, columns: number): string {
  const characters = [...line];
  return characters.length > columns ? `${characters.slice(0, columns - 1).join('')}…` : line;
}

/** The number of characters; a character outside of the basic plane counts as one. */
function widthOf(text: string): number {
  return [...text].length;
}
