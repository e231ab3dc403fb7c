/** What the processes of the demo tell each other. */

/** The figures of a span of time. Latencies in milliseconds. */
export interface Figures {
  calls: number;
  failed: number;
  failovers: number;
  p50: number;
  p99: number;
}

/** From the consumer process. */
export type FromConsumer =
  | { type: 'nodes'; live: readonly string[]; gone: readonly string[]; back: readonly string[] }
  | { type: 'second'; figures: Figures }
  | { type: 'failure'; message: string }
  | { type: 'done'; figures: Figures };

/** From a provider process. */
export type FromProvider =
  | { type: 'ready'; address: string }
  | { type: 'failure'; message: string };

/** To any of them. */
export type ToChild = { type: 'start' } | { type: 'stop' };

/** Send to the process that started this one; quietly nothing when it is gone. */
export function tell(message: FromConsumer | FromProvider): void {
  process.send?.(message, undefined, undefined, () => {});
}

/**
 * Ctrl-C reaches every process of a terminal; the one that started the others ends them in order.
 * When it is gone itself, so are they.
 */
export function followParent(onMessage: (message: ToChild) => void): void {
  process.on('SIGINT', () => {});
  process.on('disconnect', () => process.exit(0));
  process.on('message', onMessage);
}
