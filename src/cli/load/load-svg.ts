/** The histogram of a load as an SVG picture. */
import type { LoadReport } from './load-report.js';

const WIDTH = 720;
const ROW_HEIGHT = 24;
const BAR_START = 90;
const BAR_WIDTH = 520;
const HEADER_HEIGHT = 76;
/** Both colors can be read on a light and on a dark background. */
const TEXT_COLOR = '#6b7280';
const BAR_COLOR = '#3b82f6';

/** A picture with one bar for each bucket. `title`: what was called. */
export function loadSvg(
  { calls, failed, rate, latency, histogram }: LoadReport,
  title: string,
): string {
  const most = Math.max(1, ...histogram.map(({ count }) => count));
  const height = HEADER_HEIGHT + histogram.length * ROW_HEIGHT + 12;
  const latencies =
    calls === failed
      ? 'no call has succeeded'
      : `p50 ${latency.p50.toFixed(2)} ms, p99 ${latency.p99.toFixed(2)} ms, max ${latency.max.toFixed(2)} ms`;
  const without = failed > 0 && calls > failed ? ' (without failed calls)' : '';
  const summary = `${calls} calls, ${Math.round(rate)}/s, ${failed} failed; ${latencies}${without}`;
  const rows = histogram.map(({ limit, count }, at) => {
    const top = HEADER_HEIGHT + at * ROW_HEIGHT;
    const width = Math.max(1, Math.round((count / most) * BAR_WIDTH));
    const shownWidth = count === 0 ? 0 : width;
    return [
      text(
        BAR_START - 8,
        top + 15,
        `≤ ${limit < 10 ? limit.toFixed(2) : Math.round(limit)} ms`,
        'end',
      ),
      `<rect x="${BAR_START}" y="${top + 2}" width="${shownWidth}" height="18" fill="${BAR_COLOR}"/>`,
      text(BAR_START + shownWidth + 8, top + 15, String(count), 'start'),
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" \
font-family="system-ui, sans-serif" font-size="13" fill="${TEXT_COLOR}">
<title>${escapeXml(`Latency of ${title}`)}</title>
<text x="12" y="28" font-size="17" font-weight="600">${escapeXml(title)}</text>
<text x="12" y="52">${escapeXml(summary)}</text>
${rows.join('\n')}
</svg>
`;
}

function text(x: number, y: number, content: string, anchor: 'start' | 'end'): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** Also without control characters, which XML does not allow. */
function escapeXml(content: string): string {
  return content
    .replace(/[&<>"]/g, (character) => ENTITIES[character] ?? '')
    .replace(/\p{Cc}/gu, '�');
}
