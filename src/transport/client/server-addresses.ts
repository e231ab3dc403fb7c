/** The addresses of a client, of which it dials one after the other until one answers. */
import { type GettyError, gettyError } from '../../core/errors.js';
import type { Target } from '../platform.js';

export class ServerAddresses {
  readonly #targets: readonly Target[];
  /** The index of the target with which the next attempt begins. */
  #first = 0;

  /** `targets`: at least one. */
  constructor(targets: readonly Target[]) {
    this.#targets = targets;
  }

  /** All targets once, in the order of an attempt. */
  inTurn(): readonly Target[] {
    const targets = this.#targets;
    return [...targets.slice(this.#first), ...targets.slice(0, this.#first)];
  }

  /** The next attempt begins after the address `text`, if it would begin with it. */
  skip(text: string): void {
    if (this.#targets[this.#first]?.address.text === text)
      this.#first = (this.#first + 1) % this.#targets.length;
  }
}

/** The error of an attempt: that of its address, or one error for all its addresses. */
export function attemptError(failures: readonly GettyError[]): GettyError {
  const [first] = failures;
  if (failures.length === 1) return first as GettyError;
  return gettyError(
    'CONNECT_FAILED',
    failures.map(({ message }) => message).join('; '),
    new AggregateError(failures),
  );
}
