/** The calls of a session that its handlers have not answered, by sequence. */
import { inTurns } from '../../core/turn.js';
import type { RpcError } from '../errors.js';
import { type Sequence, sequenceKey } from '../wire/sequence.js';
import type { ServerCall } from './server-call.js';

export class UnansweredCalls {
  size = 0;
  /** The calls, by sequenceKey() of the low half of their sequence. */
  readonly #bySequence = new Map<number, ServerCall>();
  /** Calls with the sequence of an earlier unanswered call. The peer cannot cancel them. */
  readonly #duplicates = new Set<ServerCall>();

  add(call: ServerCall): void {
    this.size++;
    const key = sequenceKey(call.sequenceLow);
    if (this.#bySequence.has(key)) this.#duplicates.add(call);
    else this.#bySequence.set(key, call);
  }

  remove(call: ServerCall): void {
    this.size--;
    const key = sequenceKey(call.sequenceLow);
    if (this.#bySequence.get(key) === call) this.#bySequence.delete(key);
    else this.#duplicates.delete(call);
  }

  /** Whether a call has the low half of this sequence. */
  has(sequence: Sequence): boolean {
    return this.#bySequence.has(sequenceKey(sequence.sequenceLow));
  }

  find({ sequenceLow, sequenceHigh }: Sequence): ServerCall | undefined {
    const call = this.#bySequence.get(sequenceKey(sequenceLow));
    return call?.sequenceHigh === sequenceHigh ? call : undefined;
  }

  all(): ServerCall[] {
    return [...this.#bySequence.values(), ...this.#duplicates];
  }

  /** Aborts all calls, in several turns of the event loop when there are many. */
  abortAll(reason: RpcError): void {
    inTurns(this.all(), (call) => call.abort(reason));
  }
}
