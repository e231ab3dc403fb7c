/** Calls that wait for a connection. */
import { inTurns } from '../../core/turn.js';

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

export class Waiters {
  readonly #waiters = new Set<Waiter>();

  /** Settles with the next resolveAll() or rejectAll(). The promise needs no handler. */
  wait(): Promise<void> {
    const settled = new Promise<void>((resolve, reject) => this.#waiters.add({ resolve, reject }));
    settled.catch(() => {});
    return settled;
  }

  resolveAll(): void {
    inTurns(this.#takeAll(), (waiter) => waiter.resolve());
  }

  rejectAll(error: unknown): void {
    inTurns(this.#takeAll(), (waiter) => waiter.reject(error));
  }

  #takeAll(): Waiter[] {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    return waiters;
  }
}
