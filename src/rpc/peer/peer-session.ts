/** The session with one peer, as the calls, the replies and the streams of a channel use it. */
import type { GettyError } from '../../core/errors.js';
import { settleInTurns } from '../../core/turn.js';
import type { Session } from '../../transport/types.js';
import { waitToSend } from '../calls/call-errors.js';
import { timeLeft } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import type { Call } from '../types.js';
import type { Frame, OutgoingFrame } from '../wire/frame.js';
import { PeerCapabilities } from './peer-capabilities.js';

export interface PeerSessionSetup {
  /** How long a call without a timeout waits for the capabilities of the peer. Milliseconds. */
  readonly timeout: number;
  readonly maxPendingCalls: number;
  /** Bytes. */
  readonly streamWindow: number;
  /** Objects of one message. */
  readonly maxDecodedObjects: number;
}

export class PeerSession {
  readonly capabilities = new PeerCapabilities();
  /** Undefined before the session is open. */
  session: Session<Frame, OutgoingFrame> | undefined;
  /** The address of the peer; empty before the session is open. */
  address = '';
  /**
   * When the session opened, in ms of performance.now(). Whole, because V8 boxes doubles in fields.
   */
  openedAt = 0;
  /** See Channel.subject. */
  subject: string | undefined;
  /** Whether the peer has sent goaway: it wants no new calls. */
  isGoingAway = false;
  /** Why the session was lost. Undefined: it was closed without an error. */
  closeError: GettyError | undefined;
  readonly #setup: PeerSessionSetup;
  /** Settles when the session is below its high-water mark again. Undefined while it is below. */
  #drained: Promise<void> | undefined;

  constructor(setup: PeerSessionSetup) {
    this.#setup = setup;
  }

  get closed(): boolean {
    return this.session === undefined || this.session.closed;
  }

  /** False from goaway on, and when the session is closed. */
  get isUsable(): boolean {
    return !this.isGoingAway && !this.closed;
  }

  /** Undefined before the first frame of the peer. */
  get extended(): boolean | undefined {
    return this.capabilities.extended;
  }

  get streamWindow(): number {
    return this.#setup.streamWindow;
  }

  get maxDecodedObjects(): number {
    return this.#setup.maxDecodedObjects;
  }

  /** Writes a frame of a stream. Throws what encoding throws, and SESSION_CLOSED. */
  send(frame: OutgoingFrame): void {
    const { session } = this;
    if (session === undefined) throw new RpcError('UNAVAILABLE', 'there is no session');
    if (session.write(frame) || this.#drained !== undefined) return;
    const onDrained = (): void => {
      this.#drained = undefined;
    };
    this.#drained = session.drained().then(onDrained, onDrained);
  }

  /** Writes a frame that may be lost together with the session. Never throws. */
  trySend(frame: OutgoingFrame): void {
    try {
      this.send(frame);
    } catch {
      // The session is closed, or its queue is full.
    }
  }

  /** Settles when streams may send again; undefined when they may send now. */
  drained(): Promise<void> | undefined {
    return this.#drained && settleInTurns(this.#drained);
  }

  /** The error of a call that is not sent because the session is not usable. */
  notUsableError(): RpcError {
    return new RpcError(
      'UNAVAILABLE',
      `the session with ${this.address} is ${this.closed ? 'closed' : 'going away'}`,
      { unsent: true },
    );
  }

  /** The error of a call that waits for its answer when the session is lost. */
  lostError(): RpcError {
    const { address, closeError: cause } = this;
    if (this.isGoingAway)
      return new RpcError('UNAVAILABLE', `${address} closed the session before it answered`, {
        cause,
        reason: 'moving',
      });
    const why = cause === undefined ? '' : `: ${cause.message}`;
    return new RpcError(
      'UNAVAILABLE',
      `the session with ${address} was lost before the answer${why}`,
      { cause },
    );
  }

  /** The error of a streaming call over datagrams. */
  noStreamsError(): RpcError {
    return new RpcError(
      'FAILED_PRECONDITION',
      `the session with ${this.address} sends datagrams, which do not support streams`,
      { unsent: true },
    );
  }

  /** Settles when the peer has answered the opening heartbeat. Rejects with an unsent RpcError. */
  untilOpeningHeartbeatAnswered(call: Call): Promise<void> {
    return this.#untilCapabilitiesKnown(
      call,
      (limit) => `${this.address} did not answer the opening heartbeat within ${limit} ms`,
    );
  }

  /**
   * Settles when the peer is known to be extended. `what`: what the call needs, for the message of
   * an error. Rejects with an unsent RpcError: FAILED_PRECONDITION if the peer is a plain peer.
   */
  async untilExtended(call: Call, what: string): Promise<void> {
    await this.#untilCapabilitiesKnown(
      call,
      (limit) => `it is unknown after ${limit} ms whether ${this.address} supports ${what}`,
    );
    if (this.extended !== true)
      throw new RpcError(
        'FAILED_PRECONDITION',
        `${this.address} does not support ${what}: it uses the plain Go protocol`,
        { unsent: true },
      );
  }

  /**
   * Settles when the first frame of the peer has arrived. `describeTimeout` returns the message of
   * DEADLINE_EXCEEDED for a limit in milliseconds.
   */
  async #untilCapabilitiesKnown(
    call: Call,
    describeTimeout: (limit: number) => string,
  ): Promise<void> {
    const { capabilities, address } = this;
    if (capabilities.extended === undefined) {
      if (capabilities.waiting >= this.#setup.maxPendingCalls) {
        throw new RpcError(
          'RESOURCE_EXHAUSTED',
          `${capabilities.waiting} calls wait for the first frame of ${address}; maxPendingCalls is ${this.#setup.maxPendingCalls}`,
          { unsent: true },
        );
      }
      const limit = call.timeout === undefined ? this.#setup.timeout : timeLeft(call);
      let remove!: () => void;
      const known = new Promise<void>((resolve) => {
        remove = capabilities.whenKnown(resolve);
      });
      await waitToSend(
        call,
        limit,
        known,
        () =>
          new RpcError('DEADLINE_EXCEEDED', describeTimeout(Math.ceil(limit)), { unsent: true }),
      ).finally(remove);
    }
    if (this.closed)
      throw new RpcError('UNAVAILABLE', `the session with ${address} is closed`, { unsent: true });
  }
}
