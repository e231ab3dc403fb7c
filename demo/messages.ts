/** The messages between the processes of the demo. */

/** The figures of one second, or of the whole run. Latencies are in milliseconds. */
export interface Figures {
  /** Calls that ended in the second, or in the whole run. */
  calls: number;
  /** Since the start of the run, also in the figures of a second; `failovers` too. */
  failed: number;
  failovers: number;
  p50: number;
  p99: number;
}

/** From the consumer process. */
export type FromConsumer =
  | { type: 'nodes'; live: readonly string[]; added: readonly string[]; removed: readonly string[] }
  | { type: 'second'; figures: Figures }
  | { type: 'callFailed'; message: string }
  | { type: 'done'; figures: Figures };

/** From a provider process. */
export type FromProvider =
  | { type: 'ready'; address: string }
  | { type: 'startFailed'; message: string };

/** To a provider or consumer process. */
export type ToChild = { type: 'start' } | { type: 'stop' };

/** Sends a message to the parent process; does nothing if that has ended. */
export function report(message: FromConsumer | FromProvider): void {
  process.send?.(message, undefined, undefined, () => {});
}

/**
 * Calls `onMessage` with the messages of the parent process, and ends this process when the parent
 * ends. Ignores SIGINT: Ctrl-C reaches every process of a terminal, and the parent ends the others
 * in order.
 */
export function followParent(onMessage: (message: ToChild) => void): void {
  process.on('SIGINT', () => {});
  process.on('disconnect', () => process.exit(0));
  process.on('message', onMessage);
}
