/** Accepts the sessions of the clients at the other end of a base port. */
import { gettyError, messageOf } from '../../core/errors.js';
import { guarded } from '../../core/guard.js';
import { startTimer } from '../../core/timers.js';
import type { Address } from '../address.js';
import { RefusedError } from '../refused-error.js';
import type { Connection, Listener, ListenOptions, MessageEndpoint, Peer } from '../types.js';
import { type ChannelPort, listen, listenWithPorts, post, quietly } from './message-port.js';
import { PortConnection } from './port-connection.js';
import { ACCEPT, isConnect, LISTENING, OPEN, REFUSE } from './port-messages.js';

/** The base ports at which a server of this thread listens. */
const listening = new WeakSet<object>();

export class PortListener implements Listener {
  readonly address: string;
  readonly #base: MessageEndpoint;
  readonly #options: ListenOptions;
  readonly #accept: (connection: Connection) => void;
  #unlisten: (() => void) | undefined;
  /** The functions that end the handshakes in progress. */
  readonly #handshakes = new Set<() => void>();

  /** Throws LISTEN_FAILED. */
  constructor(address: Address, options: ListenOptions, accept: (connection: Connection) => void) {
    this.address = address.text;
    this.#base = address.messagePort as MessageEndpoint;
    this.#options = options;
    this.#accept = accept;
    if (listening.has(this.#base))
      throw gettyError(
        'LISTEN_FAILED',
        `cannot listen at ${this.address}: another server of this package has the port`,
      );
    listening.add(this.#base);
    try {
      this.#unlisten = listen(this.#base, 'message', (message) => {
        if (isConnect(message)) this.#onConnect(message.client, message.port);
      });
      post(this.#base, LISTENING);
    } catch (error) {
      void this.close();
      throw gettyError(
        'LISTEN_FAILED',
        `cannot listen at ${this.address}: ${messageOf(error)}`,
        error,
      );
    }
  }

  #onConnect(client: number, port: ChannelPort): void {
    const { admission } = this.#options;
    const peer: Peer = {
      localAddress: this.address,
      remoteAddress: `${this.address}/${client}`,
    };
    guarded(
      () => {
        const limit = admission.refusalBeforeHandshake(peer);
        if (limit === undefined) return this.#beginHandshake(port, peer);
        port.postMessage(REFUSE);
        port.close();
        admission.reportRefusal(peer, limit);
      },
      (error) => {
        // The port may be an object of the program, which has just thrown.
        quietly(() => port.close())();
        admission.reportFault(peer, error);
      },
    )();
  }

  #beginHandshake(port: ChannelPort, peer: Peer): void {
    const { admission, handshakeTimeout } = this.#options;
    const end = (): void => {
      clearTimeout(timer);
      for (const unlisten of unlistens) unlisten();
      this.#handshakes.delete(abort);
      admission.countHandshake(peer, -1);
    };
    const abort = (): void => {
      end();
      quietly(() => port.postMessage(REFUSE))();
      quietly(() => port.close())();
    };
    const refuse = (reason: 'timeout' | 'request', message: string): void => {
      abort();
      admission.reportRefusal(peer, new RefusedError(message, { status: 400, reason }));
    };
    let timer: NodeJS.Timeout | undefined;
    const unlistens = [
      listenWithPorts(port, (message, ports) => {
        for (const unused of ports ?? []) unused.close();
        if (message !== OPEN || ports?.length)
          return refuse('request', 'the peer sent no handshake of getty');
        end();
        const connection = new PortConnection(port, peer.localAddress, peer.remoteAddress);
        guarded(
          () => this.#accept(connection),
          (error) => {
            connection.destroy();
            admission.reportFault(peer, error);
          },
        )();
      }),
      listen(port, 'close', abort),
    ];
    // After what may throw: the port may be an object of the program.
    timer = startTimer(
      () => refuse('timeout', `the handshake took longer than ${handshakeTimeout} ms`),
      handshakeTimeout,
    );
    this.#handshakes.add(abort);
    admission.countHandshake(peer, 1);
    port.postMessage(ACCEPT);
  }

  async close(): Promise<void> {
    this.#unlisten?.();
    listening.delete(this.#base);
    for (const abort of this.#handshakes) abort();
  }
}
