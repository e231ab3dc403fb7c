/**
 * Milliseconds before the next attempt: `initialDelay` after the first failure, doubled after each
 * further one, up to `maxDelay`. The result is random between half of that and the whole.
 */
export function backoffDelay(failures: number, initialDelay: number, maxDelay: number): number {
  const delay = Math.min(maxDelay, initialDelay * 2 ** Math.min(failures - 1, 30));
  return delay * (0.5 + Math.random() / 2);
}
