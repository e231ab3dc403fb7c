/**
 * One session as rpc sees it: both sides may call and serve. It is the session's listener and
 * codec; calls are its Caller's, requests its Responder's, and what concerns both is its own.
 */
import { type AsyncContext, READ_CONTEXT } from '../../core/async-context.js';
import { codeOf, type GettyError } from '../../core/errors.js';
import { atMost } from '../../core/timers.js';
import type { ByteReader } from '../../transport/buffers/byte-reader.js';
import { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { tooLarge } from '../../transport/session/session-options.js';
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
import { countsOf, Tally } from '../metrics/statistics.js';
import type {
  Call,
  Contract,
  Invoke,
  MethodSpecs,
  PeerStatistics,
  Stub,
  StubOptions,
} from '../types.js';
import { ControlPacket, type ItemPacket } from '../wire/control-frames.js';
import { COMMAND, Frame, readFrame } from '../wire/frame.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from '../wire/request.js';
import type { Reply } from '../wire/response.js';
import type { CallPlaces } from './call-places.js';
import { Caller, type CallerOwner, type CallerSetup } from './caller.js';
import { RecentRequests } from './datagram-retries.js';
import type { Outgoing } from './outgoing.js';
import { Dialect } from './peer-capabilities.js';
import { Responder, type ResponderOwner, type ResponderSetup } from './responder.js';
import type { ServerCall } from './server-call.js';

/** What all channels of a client or server share. */
export interface ChannelSetup extends CallerSetup, ResponderSetup {
  /** Bytes. */
  readonly streamWindow: number;
  /** Wraps the calls of context.channel.stub() as the client's own. */
  readonly wrap: (invoke: Invoke) => Invoke;
  /** Aborts when this side begins to close. */
  readonly draining: AbortSignal;
  /** Where handlers run; undefined where the platform has no async contexts. */
  readonly asyncContext: AsyncContext | undefined;
  readonly inheritContext: boolean;
  /** The channel opened, is going away, or closed. */
  changed(channel: RpcChannel): void;
}

/** What a channel writes. */
export type Packet = Outgoing | Reply | ItemPacket | ControlPacket;

type RpcSession = Session<Frame, Packet>;

/**
 * How long a peer that has just connected may take to say its first word, when we want it to go.
 * Milliseconds.
 */
const FIRST_WORD = 200;

/**
 * How often a peer is told that this side is alive, while a package of it is under way.
 * Milliseconds; less than the silence that makes a peer ask.
 */
const SIGN_OF_LIFE_PERIOD = 200;

export class RpcChannel
  implements EventListener<Frame, Packet>, Codec<Frame, Packet>, ResponderOwner, CallerOwner
{
  readonly certificate: PeerCertificate | undefined;
  readonly request: WebSocketRequest | undefined;
  readonly invoke: Invoke;
  /** A client has few handlers, if any: to enter the context for each chunk costs it more. */
  readonly [READ_CONTEXT]: AsyncContext | undefined;
  readonly dialect = new Dialect();
  session: RpcSession | undefined;
  recent: RecentRequests | undefined;
  /** Only while the setup says so is it called at all; see EventListener. */
  readonly onCron: (() => void) | undefined;
  readonly #setup: ChannelSetup;
  readonly #frame = new Frame();
  readonly #made = new Tally();
  readonly #served = new Tally();
  readonly #caller: Caller;
  readonly #responder: Responder;
  /**
   * When the package that is under way began to come, or when the peer was told since then that
   * this side is alive, by now(); 0: none is.
   */
  #incompleteSince = 0;
  #peer = '';
  #goingAway = false;
  #whenIdle: (() => void)[] = [];
  /** The session is past its high-water mark: what streams wait for. */
  #room: Promise<void> | undefined;

  constructor(setup: ChannelSetup, heartbeats: boolean, { certificate, request }: Peer) {
    this.certificate = certificate;
    this.request = request;
    this.#setup = setup;
    this[READ_CONTEXT] = setup.side === 'server' ? setup.asyncContext : undefined;
    this.#caller = new Caller(setup, this, this.#made);
    this.#responder = new Responder(setup, this, this.#served);
    this.invoke = setup.wrap((call) => this.send(call));
    this.onCron = heartbeats
      ? () => this.#caller.sendHeartbeat(() => this.heartbeatMissed())
      : undefined;
  }

  get peer(): string {
    return this.#peer;
  }

  get closed(): boolean {
    return this.session === undefined || this.session.closed;
  }

  /** False from goaway on, or when the session is closed. */
  get usable(): boolean {
    return !this.#goingAway && !this.closed;
  }

  /**
   * The peer has been heard, and does not owe a sign of life. Without heartbeats only the session
   * counts.
   */
  get responsive(): boolean {
    if (this.onCron === undefined) return this.usable;
    return this.usable && this.dialect.extended !== undefined && this.#caller.isResponsive;
  }

  /** Find out whether the peer is alive. */
  askForLife(): void {
    this.#caller.askForLife();
  }

  get extended(): boolean | undefined {
    return this.dialect.extended;
  }

  /** Part of ResponderOwner. */
  get places(): CallPlaces {
    return this.#responder.places;
  }

  get draining(): AbortSignal {
    return this.#setup.draining;
  }

  /** The peer has said that it goes. */
  get isGoingAway(): boolean {
    return this.#goingAway;
  }

  get pending(): number {
    return this.#caller.calls;
  }

  get serving(): number {
    return this.#responder.serving;
  }

  get statistics(): PeerStatistics {
    const { bytesRead = 0, bytesWritten = 0 } = this.session?.stats ?? {};
    const queuedBytes = this.session?.queuedBytes ?? 0;
    return {
      peer: this.#peer,
      calls: countsOf(this.#made),
      served: countsOf(this.#served),
      bytesRead,
      bytesWritten,
      queuedBytes,
    };
  }

  resetStatistics(): void {
    this.#made.reset();
    this.#served.reset();
  }

  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs> {
    return makeStub(contract, this.invoke, this.#setup.timeout, options);
  }

  /** Send one call, past all interceptors, and wait for its answer. Rejects with an RpcError. */
  send(call: Call): Promise<unknown> {
    return this.#caller.send(call);
  }

  // ---- codec ----

  read(input: ByteReader, session: RpcSession): Frame | undefined {
    if (readFrame(input, this.#frame, session.maxMessageBytes, this.#caller)) {
      this.#incompleteSince = 0;
      return this.#frame;
    }
    this.#onIncomplete(session);
    return undefined;
  }

  /**
   * More bytes have come of a package that is not whole. On a slow line the peer's heartbeat waits
   * behind them, so the peer is told in time that this side is alive.
   */
  #onIncomplete(session: RpcSession): void {
    // Math.ceil keeps the value an integer; V8 boxes doubles stored in fields.
    const time = Math.ceil(now());
    if (this.#incompleteSince === 0) this.#incompleteSince = time;
    else if (
      time - this.#incompleteSince >= SIGN_OF_LIFE_PERIOD &&
      this.extended === true &&
      !session.closed
    ) {
      this.#incompleteSince = time;
      try {
        session.write(ControlPacket.signOfLife());
      } catch {
        // The peer does not read, so it needs no sign.
      }
    }
  }

  write(output: ByteWriter, message: Packet): void {
    message.write(output);
  }

  // ---- session events ----

  onOpen(session: RpcSession): void {
    this.session = session;
    if (session.lossy) this.recent = new RecentRequests();
    this.#caller.open(session.lossy);
    this.#peer = session.remoteAddress;
    this.#setup.changed(this);
    // Its answer tells early whether the peer is extended. With heartbeats off nobody is given up
    // for not answering it.
    if (this.#setup.side === 'server') return;
    this.#caller.sendHeartbeat(() => this.onCron !== undefined && this.heartbeatMissed());
    this.dialect.whenKnown(() => this.onResponsive());
  }

  onMessage(_session: RpcSession, frame: Frame): void {
    const { command } = frame;
    if (command === COMMAND.response || command === COMMAND.heartbeatReply) {
      this.dialect.learn(frame.serviceId === EXTENDED_ANSWER);
      this.#caller.onAnswer(frame);
    } else if (command >= COMMAND.item) this.#onExtension(frame);
    else {
      this.dialect.learn(frame.serviceId === EXTENDED_REQUEST);
      if (command === COMMAND.request) {
        const call = this.#responder.accept(frame);
        if (call !== undefined) {
          if (this.#isInHandlerContext) this.#responder.handle(call);
          else this.#handleInContext(call);
        }
      } else this.#responder.onHeartbeat(frame);
    }
    // Others overwrite what this one holds.
    if (frame.isLast) frame.release();
  }

  /** Handlers may be called here and now: they run in the right async context. */
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

  /** What only extended peers say. */
  #onExtension(frame: Frame): void {
    this.dialect.learn(true);
    if (frame.command === COMMAND.goaway) this.#onGoaway();
    else if ((frame.sequenceLow & 1) === this.#caller.parity) this.#caller.onStream(frame);
    else this.#responder.onStream(frame);
  }

  onError(session: RpcSession, error: GettyError): void {
    this.#setup.logger.warn(
      { peer: session.remoteAddress, code: error.code, error },
      error.message,
    );
  }

  onClose(): void {
    // The session may have ended inside a chunk, and a handler may keep this channel.
    this.#frame.release();
    this.#caller.close();
    this.#responder.abortAll();
    this.recent?.forgetAll();
    this.dialect.settle();
    this.#settleIdle();
    this.#setup.changed(this);
  }

  /** Part of CallerOwner. */
  onResponsive(): void {
    this.#setup.changed(this);
  }

  /** Part of CallerOwner. */
  heartbeatMissed(): void {
    this.session?.destroy(
      new RpcError(
        'UNAVAILABLE',
        `${this.#peer} did not answer a heartbeat within ${this.#setup.heartbeatTimeout} ms`,
      ),
    );
  }

  // ---- for streams ----

  get streamWindow(): number {
    return this.#setup.streamWindow;
  }

  get maxDecodedObjects(): number {
    return this.#setup.maxDecodedObjects;
  }

  sendPacket(packet: ItemPacket | ControlPacket): void {
    const { session } = this;
    if (session === undefined) throw new RpcError('UNAVAILABLE', 'there is no session');
    if (session.write(packet) || this.#room !== undefined) return;
    const forget = (): void => {
      this.#room = undefined;
    };
    this.#room = session.drained().then(forget, forget);
  }

  room(): Promise<void> | undefined {
    return this.#room;
  }

  // ---- answering ----

  /** For the responder. Throws what encoding throws; a peer that is gone misses its answer. */
  sendReply(reply: Reply): void {
    const { session } = this;
    if (session === undefined || session.closed) return;
    let room: boolean;
    try {
      room =
        this.recent === undefined
          ? session.write(reply)
          : this.#sendRemembered(session, this.recent, reply);
    } catch (error) {
      if (codeOf(error) !== 'SESSION_BLOCKED') throw error;
      // It asks and does not read the answers; they cannot be kept for ever.
      session.destroy(error as GettyError);
      return;
    }
    // Read no more requests than answers leave, unless answers to our own calls would wait behind
    // them.
    if (!room && this.#caller.waiting === 0) {
      session.pause();
      session.drained().then(
        () => session.resume(),
        () => {},
      );
    }
  }

  /** Over datagrams an answer may have to be given again. */
  #sendRemembered(session: RpcSession, recent: RecentRequests, reply: Reply): boolean {
    const output = ByteWriter.borrow();
    try {
      reply.write(output);
      // Bytes go out as they are; it is the codec's messages that a session measures.
      if (output.length > session.maxMessageBytes)
        throw tooLarge(output.length, session.maxMessageBytes, `is for ${this.#peer}`);
      const room = session.writeBytes(output.written);
      // A copy: the buffer is used again.
      recent.answered(reply, new Uint8Array(output.written));
      return room;
    } finally {
      ByteWriter.giveBack(output);
    }
  }

  sendAgain(answer: Uint8Array): void {
    try {
      this.session?.writeBytes(answer);
    } catch {
      // It may be lost; the request will come again.
    }
  }

  // ---- the end ----

  /**
   * Tell an extended peer to send no new calls; one that has not said a word yet is told when it
   * has.
   */
  sendGoaway(): void {
    this.dialect.whenKnown(() => {
      if (this.closed || this.extended !== true) return;
      try {
        this.session?.write(ControlPacket.goaway());
      } catch {
        // It is blocked; it will see the end of the session.
      }
    });
  }

  #onGoaway(): void {
    this.#goingAway = true;
    this.#setup.changed(this);
    this.#closeWhenIdle();
  }

  /** Something that was under way has ended. */
  oneLess(): void {
    if (this.#whenIdle.length > 0) this.#settleIdle();
    if (this.#goingAway) this.#closeWhenIdle();
  }

  #closeWhenIdle(): void {
    if (this.#caller.calls === 0 && this.#responder.serving === 0) void this.session?.close();
  }

  /** Settles when nothing is under way in either direction, or the session is lost. */
  async idle(): Promise<void> {
    while (!this.closed && (this.#responder.serving > 0 || this.#caller.calls > 0)) {
      await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
    }
  }

  /** Settles when nothing is under way and a peer that was told to go has gone. */
  async drain(): Promise<void> {
    if (this.extended === undefined && !this.closed)
      await atMost(
        FIRST_WORD,
        new Promise<void>((resolve) => void this.dialect.whenKnown(resolve)),
      );
    await this.idle();
    // Over datagrams nobody says that he has gone.
    while (!this.closed && this.extended === true && this.recent === undefined)
      await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #settleIdle(): void {
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const settle of waiting) settle();
  }
}
