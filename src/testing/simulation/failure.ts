/** The error of a simulation that has failed. */
import { GettyError, messageOf } from '../../core/errors.js';
import type { World } from './world.js';

/** Codes that callers of World.fail() give as `what`. All other failures are SIMULATION_FAILED. */
export type UndoneCode = 'SIMULATION_STALLED' | 'SIMULATION_TIMEOUT' | 'SIMULATION_ABORTED';
const UNDONE: ReadonlySet<string> = new Set<UndoneCode>([
  'SIMULATION_STALLED',
  'SIMULATION_TIMEOUT',
  'SIMULATION_ABORTED',
]);

/**
 * What simulate() rejects with when a simulation fails: with the code SIMULATION_FAILED,
 * SIMULATION_STALLED, SIMULATION_TIMEOUT or SIMULATION_ABORTED. The message has the seed and the
 * events too.
 */
export class SimulationError extends GettyError {
  /** The seed that repeats the failure. */
  readonly seed: number;
  /**
   * The last events, as lines of the trace, in order: the last 40 that are no heartbeats, and
   * before them the last 20 of hosts and of the network, such as a crash or a partition, and the
   * last 20 lines of `trace()`.
   */
  readonly events: readonly string[];

  /** Made by simulate(). */
  constructor(
    code: 'SIMULATION_FAILED' | UndoneCode,
    message: string,
    seed: number,
    events: readonly string[],
    cause?: unknown,
  ) {
    super(code, message, cause);
    this.name = 'SimulationError';
    this.seed = seed;
    this.events = events;
  }
}

/** `what`: an UndoneCode, whose `error` has the message, or a text that says what failed. */
export function failureError(
  { seed, trace }: World,
  { what, error }: NonNullable<World['failure']>,
): SimulationError {
  const isUndone = UNDONE.has(what);
  const { earlier, last, hasGap } = trace.lastLines();
  const shown = [...earlier, ...(hasGap ? ['…'] : []), ...last].map((line) => `  ${line}`);
  const text = isUndone ? messageOf(error) : `${what}: ${messageOf(error)}`;
  return new SimulationError(
    isUndone ? (what as UndoneCode) : 'SIMULATION_FAILED',
    `${text}\nseed: ${seed}\nlast events:\n${shown.join('\n')}`,
    seed,
    [...earlier, ...last],
    isUndone ? (error as Error).cause : error,
  );
}
