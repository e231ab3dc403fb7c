// @ts-check
/** Prints a table of measured and wanted ratios. */

/**
 * A comparison of getty with a peer. `ratio` should be at least `least`, or at most `most`. With
 * neither of them it is only printed.
 * @typedef {{ what: string, ratio: number, ratios: number[], least?: number, most?: number,
 *   failed?: string, text?: string, samples?: unknown }} Row
 */

export function tableHead() {
  console.log('| what | ours ÷ peer, from – to | wanted | |\n| --- | --- | --- | --- |');
}

/** @param {Row} row */
function met({ ratio, least, most, failed }) {
  if (failed !== undefined || !Number.isFinite(ratio)) return false;
  return (
    ratio >= (least ?? Number.NEGATIVE_INFINITY) && ratio <= (most ?? Number.POSITIVE_INFINITY)
  );
}

/** @param {number} ratio */
function digits(ratio) {
  return Math.abs(ratio) < 0.1 ? ratio.toPrecision(2) : ratio.toFixed(2);
}

/** @param {Row} row */
export function printRow(row) {
  const { what, ratio, ratios, least, most, failed, text } = row;
  const range = `${digits(ratio)}, ${digits(Math.min(...ratios))} – ${digits(Math.max(...ratios))}`;
  const measured = failed === undefined ? (text ?? range) : `failed: ${failed}`;
  const wanted =
    least !== undefined ? `at least ${least}` : most !== undefined ? `at most ${most}` : '–';
  const verdict = wanted === '–' ? '–' : met(row) ? 'met' : 'missed';
  console.log(`| ${what} | ${measured} | ${wanted} | ${verdict} |`);
}
