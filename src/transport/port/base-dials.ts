/** The events of a base port, for the attempts to connect that are in progress there. */
import { inTurns, onNextTurn } from '../../core/turn.js';
import type { MessageEndpoint } from '../types.js';
import { isOfNode, listen } from './message-port.js';
import { isListening } from './port-messages.js';

/** An attempt to connect. */
export interface Dial {
  /** Called when a server has begun to listen: it has not received an earlier `connect`. */
  sendConnect(): void;
  fail(cause: Error): void;
}

/** By base port. The attempts share its listeners: Node.js warns of a port with more than 10. */
const dialsByBase = new WeakMap<object, BaseDials>();

export class BaseDials {
  readonly #base: MessageEndpoint;
  readonly #dials = new Set<Dial>();
  /** Empty while there is no attempt: a listener would keep the process running. */
  #unlisten: readonly (() => void)[] = [];
  /** Whether the attempts send `connect` again in the next turn. */
  #isRepeating = false;

  static of(base: MessageEndpoint): BaseDials {
    const dials = dialsByBase.get(base) ?? new BaseDials(base);
    dialsByBase.set(base, dials);
    return dials;
  }

  private constructor(base: MessageEndpoint) {
    this.#base = base;
  }

  /** Throws what the port throws. */
  add(dial: Dial): void {
    if (this.#dials.size === 0) this.#listen();
    this.#dials.add(dial);
  }

  remove(dial: Dial): void {
    if (!this.#dials.delete(dial) || this.#dials.size > 0) return;
    this.#stopListening();
  }

  #stopListening(): void {
    for (const unlisten of this.#unlisten) unlisten();
    this.#unlisten = [];
  }

  #listen(): void {
    const base = this.#base;
    const fail = (what: string) => () => this.#forEach((dial) => dial.fail(new Error(what)));
    const unlisten: (() => void)[] = [];
    this.#unlisten = unlisten;
    try {
      unlisten.push(
        listen(base, 'message', (message) => {
          if (isListening(message)) this.#repeatSoon();
        }),
      );
      unlisten.push(listen(base, 'close', fail('the port is closed')));
      unlisten.push(listen(base, 'exit', fail('the worker has ended')));
      // In Node.js a listener would hide the error from the program, and 'exit' follows it.
      if (!isOfNode(base))
        unlisten.push(listen(base, 'error', (text) => fail(`the worker failed: ${text}`)()));
    } catch (error) {
      this.#stopListening();
      throw error;
    }
  }

  /** Each `connect` has a new channel. A peer can send many `listening` messages in one turn. */
  #repeatSoon(): void {
    if (this.#isRepeating) return;
    this.#isRepeating = true;
    onNextTurn(() => {
      this.#isRepeating = false;
      inTurns([...this.#dials], (dial) => {
        if (this.#dials.has(dial)) dial.sendConnect();
      });
    });
  }

  #forEach(handle: (dial: Dial) => void): void {
    for (const dial of [...this.#dials]) handle(dial);
  }
}
