/** Times and sizes, for people. */

const UNITS = [
  { ms: 86_400_000, name: 'd' },
  { ms: 3_600_000, name: 'h' },
  { ms: 60_000, name: 'm' },
] as const;

/** `3d`, `5h`, `12m` or `48s`. */
export function ageText(ms: number): string {
  for (const unit of UNITS) if (ms >= unit.ms) return `${Math.floor(ms / unit.ms)}${unit.name}`;
  return `${Math.max(0, Math.floor(ms / 1_000))}s`;
}

/** `500 ms` or `1.5 s`. */
export function timeText(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`;
}

const SIZES = ['KiB', 'MiB', 'GiB', 'TiB'];

/** `512 B`, `1.5 KiB`, `20 MiB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const power = Math.min(SIZES.length, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1_024 ** power;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${SIZES[power - 1]}`;
}
