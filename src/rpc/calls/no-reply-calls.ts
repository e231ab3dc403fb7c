/**
 * Calls of the kind noReply to a Go server. Go's answer to such a call is only a frame header,
 * whose packageLength announces sections that Go does not send. So the reader must know these
 * calls.
 */
import type { HeaderOnlyAnswers } from '../wire/frame.js';
import { EXTENDED_ANSWER } from '../wire/request.js';

/** The most calls that are kept. */
const MAX_CALLS = 10_000;

export class NoReplyCalls implements HeaderOnlyAnswers {
  /**
   * The low halves of their sequences. Undefined: there was no such call, or the peer is extended.
   */
  #sequences: Set<number> | undefined;

  /** Adds a call, and removes the oldest one above the limit. */
  add(sequenceLow: number): void {
    this.#sequences ??= new Set();
    if (this.#sequences.size >= MAX_CALLS)
      for (const oldest of this.#sequences) if (this.#sequences.delete(oldest)) break;
    this.#sequences.add(sequenceLow);
  }

  get mayBeHeaderOnly(): boolean {
    return this.#sequences !== undefined;
  }

  /** Also true for a call that has timed out. */
  isHeaderOnly(serviceId: number, sequenceLow: number): boolean {
    if (this.#sequences === undefined) return false;
    if (serviceId !== EXTENDED_ANSWER) return this.#sequences.delete(sequenceLow);
    this.#sequences = undefined;
    return false;
  }
}
