/** One side of a simulated stream, as a socket of the transport. */
import type { AsyncResource } from 'node:async_hooks';
import { gettyError } from '../../../core/errors.js';
import { faultError } from '../../../core/guard.js';
import { Queue } from '../../../core/queue.js';
import { beginEvent, endEvent } from '../../../transport/session/flush-scheduler.js';
import type {
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
} from '../../../transport/types.js';
import type { SimulatedProcess } from '../context.js';
import type { OpenStream, SimulatedNetwork } from './network.js';
import { Pipe, type PipeReceiver, type PipeSender } from './pipe.js';

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };

/** An error of the operating system, such as `read ECONNRESET`. */
export function systemError(call: string, code: string): Error {
  return Object.assign(new Error(`${call} ${code}`), { code, syscall: call });
}

export class StreamConnection implements Connection, PipeSender, PipeReceiver {
  readonly capabilities = CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** Called when the connection is closed. */
  onReleased: (() => void) | undefined;
  readonly #process: SimulatedProcess;
  readonly #resource: AsyncResource;
  /** What this side sends, and what the other side sends. */
  #output: Pipe | undefined;
  #input: Pipe | undefined;
  #events: ConnectionEvents | undefined;
  readonly #inbox = new Queue<Buffer>();
  unreadBytes = 0;
  #isPaused = false;
  #isScheduled = false;
  #hasEnded = false;
  #hasPeerEnded = false;
  #isEndDelivered = false;
  #isDestroyed = false;
  #error: Error | undefined;

  /** Call it in the async context of the connection's events. */
  constructor(process: SimulatedProcess, localAddress: string, remoteAddress: string) {
    this.#process = process;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.#resource = process.resource('SIMCONNECTION');
    process.sockets.add(this);
  }

  get isGone(): boolean {
    return this.#isDestroyed || this.#process.isDead;
  }

  join(output: Pipe, input: Pipe): void {
    this.#output = output;
    this.#input = input;
  }

  /** The process is dead. */
  abandon(): void {
    this.#output?.abandon();
  }

  /** As the system of a process does that was killed: a reset if bytes are unread, else an end. */
  closeBySystem(): void {
    if (this.unreadBytes > 0) {
      this.#output?.stop();
      this.#input?.reset();
    } else this.#output?.close();
  }

  attach(events: ConnectionEvents): void {
    this.#events = events;
    this.#deliverSoon();
  }

  get bufferedBytes(): number {
    return this.#output?.bufferedBytes ?? 0;
  }

  write(bytes: Uint8Array): void {
    if (!this.isGone) this.#output?.write(bytes);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#deliverSoon();
  }

  end(): void {
    if (this.#hasEnded || this.isGone) return;
    this.#hasEnded = true;
    this.#output?.end();
    this.#closeWhenBothEnded();
  }

  destroy(): void {
    if (this.isGone) return;
    this.#isDestroyed = true;
    this.#output?.close();
    this.#release();
  }

  /** The process hears of the end later, as with a socket. */
  #release(): void {
    this.#inbox.clear();
    this.unreadBytes = 0;
    const process = this.#process;
    process.sockets.delete(this);
    this.onReleased?.();
    process.world.schedule(0, () =>
      process.dispatch(() => this.#events?.onClose(this.#error), this.#resource),
    );
  }

  // ---- events of the network, outside of all processes ----

  arrive(bytes: Buffer, isEnd: boolean): void {
    if (isEnd) this.#hasPeerEnded = true;
    else {
      this.#inbox.push(bytes);
      this.unreadBytes += bytes.length;
    }
    if (!this.#isScheduled && this.#events !== undefined) this.#deliverNow();
  }

  onTaken(): void {
    this.#process.dispatch(() => {
      if (!this.#isDestroyed) this.#events?.onTaken();
    }, this.#resource);
  }

  onBroken(code: string): void {
    if (this.isGone) return;
    const cause = systemError('read', code);
    this.#fail(
      gettyError(
        'CONNECTION_LOST',
        `the connection to ${this.remoteAddress} was lost: ${cause.message}`,
        cause,
      ),
    );
  }

  #fail(error: Error): void {
    this.#isDestroyed = true;
    this.#error = error;
    this.#output?.stop();
    this.#release();
  }

  // ---- delivery to the session, in the process ----

  #deliverSoon(): void {
    if (this.#isScheduled || this.#events === undefined || this.isGone) return;
    this.#isScheduled = true;
    this.#process.world.schedule(0, () => this.#deliverNow());
  }

  #deliverNow(): void {
    this.#isScheduled = true;
    this.#process.dispatch(this.#deliver, this.#resource);
  }

  readonly #deliver = (): void => {
    this.#isScheduled = false;
    beginEvent();
    try {
      this.#deliverAll();
    } catch (error) {
      if (!this.isGone) this.#fail(faultError(this.remoteAddress, error));
    } finally {
      endEvent();
    }
  };

  #deliverAll(): void {
    while (this.#inbox.length > 0 && !this.#isPaused && !this.isGone) {
      const bytes = this.#inbox.shift() as Buffer;
      this.unreadBytes -= bytes.length;
      this.#events?.onData(bytes);
      this.#input?.flush();
    }
    if (!this.#hasPeerEnded || this.#inbox.length > 0 || this.#isPaused || this.isGone) return;
    if (!this.#isEndDelivered) {
      this.#isEndDelivered = true;
      this.#events?.onEnd();
    }
    this.#closeWhenBothEnded();
  }

  #closeWhenBothEnded(): void {
    // Only after the peer's end is delivered, because bytes before it may still be in the inbox.
    if (this.#hasEnded && this.#isEndDelivered) this.destroy();
  }
}

/** What is needed for one side of a connection. */
export interface StreamSide {
  readonly process: SimulatedProcess;
  readonly address: string;
}

/** Makes a pair of connections. `inServer`: runs a function in the context of the listener. */
export function connectPair(
  network: SimulatedNetwork,
  client: StreamSide,
  server: StreamSide,
  inServer: <T>(make: () => T) => T,
): readonly [client: StreamConnection, server: StreamConnection] {
  const near = new StreamConnection(client.process, client.address, server.address);
  const far = inServer(() => new StreamConnection(server.process, server.address, client.address));
  const [clientName, serverName] = [client.process.host.name, server.process.host.name];
  const [from, to] = [network.findHost(clientName), network.findHost(serverName)];
  if (from === undefined || to === undefined) throw new Error('a host is missing');
  const stream: OpenStream = { hosts: [clientName, serverName], isForgotten: false };
  network.streams.add(stream);
  const [nearText, farText] = [client.address, server.address].map((address) =>
    address.replace('sim://', ''),
  );
  const out = new Pipe(network, stream, { from, to, label: `${nearText} > ${farText}` }, near, far);
  const back = new Pipe(
    network,
    stream,
    { from: to, to: from, label: `${farText} > ${nearText}` },
    far,
    near,
  );
  near.join(out, back);
  far.join(back, out);
  return [near, far];
}
