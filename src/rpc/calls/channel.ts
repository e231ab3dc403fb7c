/**
 * One session as rpc sees it. Both sides may call and serve. RpcChannel is the listener and the
 * codec of the session. Caller sends calls, and Responder answers requests.
 */
import { type AsyncContext, READ_CONTEXT } from '../../core/async-context.js';
import { type GettyError, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import type { ByteReader } from '../../transport/buffers/byte-reader.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import type {
  Codec,
  EventListener,
  Peer,
  PeerCertificate,
  Session,
  WebSocketRequest,
} from '../../transport/types.js';
import { makeStub } from '../contract/stub.js';
import { RpcError } from '../errors.js';
import { peerStatisticsOf, SessionCallCounter } from '../metrics/statistics.js';
import { PeerSession } from '../peer/peer-session.js';
import { SignsOfLife } from '../peer/signs-of-life.js';
import type {
  Call,
  Channel,
  Contract,
  Invoke,
  MethodSpecs,
  PeerStatistics,
  Stub,
  StubOptions,
} from '../types.js';
import { COMMAND, Frame, type OutgoingFrame, readFrame } from '../wire/frame.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from '../wire/request.js';
import { AnswerSender } from './answer-sender.js';
import { Caller, type CallerSetup } from './caller.js';
import { ChannelDrain } from './channel-drain.js';
import type { CallObserver } from './outgoing-request.js';
import { Responder, type ResponderSetup } from './responder.js';
import type { ServerCall } from './server-call.js';

/** The settings and counters that all channels of a client or server share. */
export interface ChannelSetup extends CallerSetup, ResponderSetup {
  readonly logger: Logger;
  /** Wraps the calls of context.channel.stub() in the interceptors. */
  readonly wrap: (invoke: Invoke) => Invoke;
  /** The context in which handlers run. Undefined where the platform has no async contexts. */
  readonly asyncContext: AsyncContext | undefined;
  readonly inheritContext: boolean;
  /** Milliseconds. */
  readonly drainTimeout: number;
  /**
   * Called when the channel has opened, received goaway, closed, or when responsive has changed.
   */
  onChange(channel: RpcChannel): void;
}

type RpcSession = Session<Frame, OutgoingFrame>;

/** A call of this side that waits for its answer. */
export interface CallMade {
  readonly call: Call;
  /** The low half of its sequence. Undefined: a call of a mock stub, which sends nothing. */
  readonly sequenceLow: number | undefined;
}

export class RpcChannel
  implements EventListener<Frame, OutgoingFrame>, Codec<Frame, OutgoingFrame>, Channel
{
  readonly certificate: PeerCertificate | undefined;
  readonly request: WebSocketRequest | undefined;
  readonly invoke: Invoke;
  /**
   * The async context that the session enters for each chunk. Undefined on a client: few of its
   * chunks call a handler, and entering the context is slow.
   */
  readonly [READ_CONTEXT]: AsyncContext | undefined;
  /** Undefined without periodic heartbeats; see EventListener. */
  readonly onCron: (() => void) | undefined;
  readonly #setup: ChannelSetup;
  readonly #peer: PeerSession;
  readonly #signsOfLife: SignsOfLife;
  readonly #frame = new Frame();
  readonly #callsMade = new SessionCallCounter();
  readonly #callsServed = new SessionCallCounter();
  readonly #drain: ChannelDrain;
  readonly #caller: Caller;
  readonly #answers: AnswerSender;
  readonly #responder: Responder;

  constructor(setup: ChannelSetup, heartbeats: boolean, { certificate, request }: Peer) {
    this.certificate = certificate;
    this.request = request;
    this.#setup = setup;
    this.#peer = new PeerSession(setup);
    this.#signsOfLife = new SignsOfLife(this.#peer);
    this[READ_CONTEXT] = setup.side === 'server' ? setup.asyncContext : undefined;
    this.#drain = new ChannelDrain(this.#peer, this, setup.drainTimeout);
    this.#caller = new Caller(setup, this.#peer, this.#drain, this.#callsMade, () =>
      setup.onChange(this),
    );
    this.#answers = new AnswerSender(this.#peer, this.#caller, setup.logger);
    this.#responder = new Responder(
      setup,
      this,
      this.#peer,
      this.#answers,
      this.#callsServed,
      this.#drain,
    );
    this.invoke = setup.wrap((call) => this.send(call));
    this.onCron = heartbeats ? () => this.#caller.heartbeats.send(true) : undefined;
  }

  /** Undefined before the session is open. */
  get session(): RpcSession | undefined {
    return this.#peer.session;
  }

  get peer(): string {
    return this.#peer.address;
  }

  get closed(): boolean {
    return this.#peer.closed;
  }

  /** False from goaway on, and when the session is closed. */
  get usable(): boolean {
    return this.#peer.isUsable;
  }

  /**
   * Whether the peer has sent a frame and no heartbeat is overdue. Without periodic heartbeats it
   * is equal to `usable`.
   */
  get responsive(): boolean {
    if (this.onCron === undefined) return this.usable;
    return this.usable && this.extended !== undefined && this.#caller.heartbeats.isResponsive;
  }

  /** Sends a heartbeat unless one is pending. */
  checkLiveness(): void {
    this.#caller.heartbeats.sendIfIdle();
  }

  get extended(): boolean | undefined {
    return this.#peer.extended;
  }

  get subject(): string | undefined {
    return this.#peer.subject;
  }

  /** See AuthenticatedChannel of auth(). */
  get lossy(): boolean {
    return this.#peer.session?.lossy === true;
  }

  /** See AuthenticatedChannel of auth(). */
  setSubject(subject: string): void {
    this.#peer.subject = subject;
  }

  /** The number of the session in this process; 0 before it is open. */
  get sessionNumber(): number {
    return this.#peer.session?.id ?? 0;
  }

  /** Whole milliseconds since the session opened. */
  get age(): number {
    return Math.floor(performance.now()) - this.#peer.openedAt;
  }

  get pending(): number {
    return this.#caller.pendingCalls;
  }

  get serving(): number {
    return this.#responder.serving;
  }

  /** The calls that wait for an answer of the peer, and those of the peer that wait for one. */
  get inFlight(): { readonly made: readonly CallMade[]; readonly served: readonly Call[] } {
    return { made: this.#caller.callsInFlight(), served: this.#responder.callsInFlight() };
  }

  get statistics(): PeerStatistics {
    return peerStatisticsOf(this.#peer, this.#callsMade, this.#callsServed);
  }

  resetStatistics(): void {
    this.#callsMade.reset();
    this.#callsServed.reset();
  }

  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs> {
    return makeStub(contract, this.invoke, this.#setup.timeout, options);
  }

  /** See Caller.send(). */
  send(call: Call, observer?: CallObserver): Promise<unknown> {
    return this.#caller.send(call, observer);
  }

  // ---- codec ----

  read(input: ByteReader, session: RpcSession): Frame | undefined {
    const frame = this.#frame;
    try {
      if (readFrame(input, frame, session.maxMessageBytes, this.#caller.noReplyCalls)) {
        this.#signsOfLife.onCompleteFrame();
        return frame;
      }
    } catch (error) {
      if (frame.isTooLarge) this.#onTooLargeFrame(frame, error);
      throw error;
    }
    this.#signsOfLife.onIncompleteFrame();
    return undefined;
  }

  /** Fails the call of the frame. On a stream the session ends next, which fails the others. */
  #onTooLargeFrame(frame: Frame, cause: unknown): void {
    frame.isTooLarge = false;
    const error = new RpcError('RESOURCE_EXHAUSTED', messageOf(cause), { cause });
    const isRequest = frame.command === COMMAND.request;
    if (!isRequest && (frame.sequenceLow & 1) === this.#caller.parity)
      this.#caller.onTooLargeFrame(frame, error);
    else this.#responder.onTooLargeFrame(frame, error);
  }

  write(output: ByteWriter, frame: OutgoingFrame): void {
    frame.write(output);
  }

  // ---- session events ----

  onOpen(session: RpcSession): void {
    const peer = this.#peer;
    peer.session = session;
    peer.openedAt = Math.floor(performance.now());
    peer.address = session.remoteAddress;
    this.#answers.open(session.lossy);
    this.#caller.open(session.lossy);
    this.#setup.onChange(this);
    if (this.#setup.side === 'server') return;
    // The answer shows whether the peer is extended. Without periodic heartbeats the session stays
    // open if there is no answer.
    this.#caller.heartbeats.send(this.onCron !== undefined);
    peer.capabilities.whenKnown(() => this.#setup.onChange(this));
  }

  onMessage(_session: RpcSession, frame: Frame): void {
    const { command } = frame;
    const { capabilities } = this.#peer;
    if (command === COMMAND.response || command === COMMAND.heartbeatAnswer) {
      capabilities.learn(frame.serviceId === EXTENDED_ANSWER);
      this.#caller.onAnswer(frame);
    } else if (command >= COMMAND.item) this.#onExtension(frame);
    else {
      capabilities.learn(frame.serviceId === EXTENDED_REQUEST);
      if (command === COMMAND.request) {
        const call = this.#responder.accept(frame);
        if (call !== undefined) {
          if (this.#isInHandlerContext) this.#responder.handle(call);
          else this.#handleInContext(call);
        }
      } else this.#answers.sendHeartbeatAnswer(frame);
    }
    // If more bytes have arrived, the next frame overwrites this one.
    if (frame.isLast) frame.release();
  }

  /** Whether the current async context is the context of the handlers. */
  get #isInHandlerContext(): boolean {
    const { asyncContext, inheritContext } = this.#setup;
    return !inheritContext && (asyncContext === undefined || asyncContext.isEntered);
  }

  #handleInContext(call: ServerCall): void {
    const { asyncContext, inheritContext } = this.#setup;
    const responder = this.#responder;
    const handle = inheritContext ? responder.handleInherited : responder.handle;
    if (asyncContext === undefined) handle.call(responder, call);
    else asyncContext.run(handle, responder, call);
  }

  /** Handles a frame that only extended peers send. */
  #onExtension(frame: Frame): void {
    this.#peer.capabilities.learn(true);
    if (frame.command === COMMAND.goaway) {
      this.#peer.isGoingAway = true;
      this.#setup.onChange(this);
      this.#drain.onGoaway();
    } else if ((frame.sequenceLow & 1) === this.#caller.parity) this.#caller.onStream(frame);
    else this.#responder.onStream(frame);
  }

  onError(session: RpcSession, error: GettyError): void {
    if (session.closed) this.#peer.closeError ??= error;
    this.#setup.logger.warn(
      { peer: session.remoteAddress, code: error.code, error },
      error.message,
    );
  }

  onClose(): void {
    // The session may end between two frames of a chunk. A handler may keep this channel, which
    // must not keep the chunk.
    this.#frame.release();
    this.#caller.close();
    this.#responder.close();
    this.#peer.capabilities.settle();
    this.#drain.onClose();
    this.#setup.onChange(this);
  }

  // ---- the end ----

  /** See ChannelDrain. */
  sendGoaway(): void {
    this.#drain.sendGoaway();
  }

  /** See ChannelDrain.close(). `timeout`: milliseconds. */
  closeInOrder(timeout: number): Promise<void> {
    return this.#drain.close(timeout);
  }

  /** See ChannelDrain. */
  idle(): Promise<void> {
    return this.#drain.idle();
  }

  /** See ChannelDrain. */
  drain(): Promise<void> {
    return this.#drain.drain();
  }
}
