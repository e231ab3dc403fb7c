/** Connects to the server at the other end of a base port. */
import { gettyError, messageOf } from '../../core/errors.js';
import { followSignal } from '../../core/signals.js';
import type { Address } from '../address.js';
import type { Connection, MessageEndpoint } from '../types.js';
import { BaseDials, type Dial } from './base-dials.js';
import { type ChannelPort, listenWithPorts, post } from './message-port.js';
import { PortConnection } from './port-connection.js';
import { ACCEPT, type ConnectMessage, OPEN, REFUSE } from './port-messages.js';

/** The numbers of clients are unique in this thread. */
let lastClient = 0;

/** The two functions that settle the promise of an attempt. */
interface Settle {
  resolve(connection: Connection): void;
  reject(error: Error): void;
}

/** One attempt. */
class PortDial implements Dial {
  readonly #base: MessageEndpoint;
  readonly #address: Address;
  readonly #client = ++lastClient;
  readonly #settle: Settle;
  #release: (() => void) | undefined;
  /** This side of the channel of the last `connect`. */
  #channel: ChannelPort | undefined;
  #unlistenChannel: (() => void) | undefined;

  constructor(base: MessageEndpoint, address: Address, settle: Settle) {
    this.#base = base;
    this.#address = address;
    this.#settle = settle;
  }

  start(signal: AbortSignal): void {
    try {
      if ((this.#base as { threadId?: unknown }).threadId === -1)
        throw new Error('the worker has ended');
      if (signal.aborted) throw signal.reason;
      this.#release = followSignal(signal, () => this.fail(signal.reason));
      BaseDials.of(this.#base).add(this);
    } catch (error) {
      return this.fail(error);
    }
    this.sendConnect();
  }

  /** Replaces the channel: its other port was transferred, and cannot be sent again. */
  sendConnect(): void {
    this.#closeChannel();
    try {
      const { port1, port2 } = new MessageChannel();
      this.#channel = port1;
      this.#unlistenChannel = listenWithPorts(port1, (answer, ports = []) =>
        this.#onAnswer(port1, answer, ports),
      );
      const message: ConnectMessage = { getty: 'connect', client: this.#client, port: port2 };
      post(this.#base, message, [port2]);
    } catch (error) {
      this.fail(error);
    }
  }

  #onAnswer(port: ChannelPort, answer: unknown, unused: readonly ChannelPort[]): void {
    for (const port of unused) port.close();
    if (answer === REFUSE) return this.fail(new Error('the server refused the session'));
    if (answer !== ACCEPT || unused.length > 0)
      return this.fail(new Error('the answer is not one of getty'));
    const { text } = this.#address;
    this.#unlistenChannel?.();
    this.#channel = this.#unlistenChannel = undefined;
    this.#end();
    const connection = new PortConnection(port, `${text}/${this.#client}`, text);
    port.postMessage(OPEN);
    this.#settle.resolve(connection);
  }

  fail(cause: unknown): void {
    this.#end();
    this.#settle.reject(
      gettyError(
        'CONNECT_FAILED',
        `cannot connect to ${this.#address.text}: ${messageOf(cause)}`,
        cause,
      ),
    );
  }

  #end(): void {
    BaseDials.of(this.#base).remove(this);
    this.#release?.();
    this.#closeChannel();
  }

  #closeChannel(): void {
    this.#unlistenChannel?.();
    this.#channel?.close();
    this.#channel = this.#unlistenChannel = undefined;
  }
}

/** As Transport.dial(). */
export function dialPort(target: Address, signal: AbortSignal): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const base = target.messagePort as MessageEndpoint;
    new PortDial(base, target, { resolve, reject }).start(signal);
  });
}
