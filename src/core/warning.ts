/** Reports errors that have no listener: they are visible, and do not end the program. */
import { codeOf, GettyError, MAX_MESSAGE_LENGTH, messageOf } from './errors.js';

const PER_SECOND = 10;

/** Limits warnings, because a peer can cause one with each message. */
export class WarningBudget {
  readonly #burst: number;
  #left: number;
  #refilledAt = 0;
  #suppressed = 0;

  /** `burst`: warnings that pass at once. After that 10 per second pass. */
  constructor(burst: number) {
    this.#burst = burst;
    this.#left = burst;
  }

  /**
   * Undefined: the warning is suppressed. Otherwise the number of warnings that were suppressed
   * since the last warning that passed.
   */
  take(): number | undefined {
    const now = performance.now();
    this.#left = Math.min(
      this.#burst,
      // The clock of a simulation can be behind that of the process.
      this.#left + (Math.max(0, now - this.#refilledAt) / 1_000) * PER_SECOND,
    );
    this.#refilledAt = now;
    if (this.#left < 1) {
      this.#suppressed++;
      return undefined;
    }
    this.#left--;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}

/** Process warnings that may pass at once. */
const BURST = 1_000;
const budget = new WarningBudget(BURST);
/** UTF-16 units of a part of a warning. A message has its own limit, and a stack contains it. */
const MAX_PRINTED_LENGTH = 4 * MAX_MESSAGE_LENGTH;

/**
 * Emits `error` as a warning of the process. In a browser it is reported as an uncaught error: to
 * the console and to the `error` listeners of the page. Of very many warnings most are suppressed;
 * WARNINGS_SUPPRESSED then has their number.
 */
export function warn(error: Error): void {
  const suppressed = budget.take();
  if (suppressed === undefined) return;
  if (suppressed > 0) {
    const message = `${suppressed} warnings of getty-ts were suppressed`;
    emit(new GettyError('WARNINGS_SUPPRESSED', message));
  }
  const code = codeOf(error) ?? 'HANDLER_FAILED';
  emit(isPrintable(error) ? error : new GettyError(code, messageOf(error)));
}

/**
 * Whether Node.js can print the error. It does so in a later turn, where an exception of an error
 * of the program, such as that of a getter, would end the process.
 */
function isPrintable(error: Error): boolean {
  try {
    const {
      name,
      message,
      stack = '',
      code = '',
      detail = '',
    } = error as Error & Record<'code' | 'detail', unknown>;
    const texts = [name, message, stack, code, detail, error.toString()];
    return texts.every((text) => typeof text === 'string' && text.length <= MAX_PRINTED_LENGTH);
  } catch {
    return false;
  }
}

function emit(error: Error): void {
  const { process, reportError = console.error } = globalThis as {
    process?: NodeJS.Process;
    reportError?: (error: unknown) => void;
  };
  if (typeof process?.emitWarning === 'function') process.emitWarning(error);
  else reportError(error);
}
