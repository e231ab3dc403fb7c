/** The proxy of TCP and Unix sockets. It opens a connection to the target for each client. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { gettyError, messageOf } from '../../core/errors.js';
import { LongTimer } from '../../core/timers.js';
import { type Address, formatAddress } from '../../transport/address.js';
import type { Direction, ResolvedFaults } from './faults.js';
import type { Relay, RelaySetup } from './relay.js';
import { StreamPipe } from './stream-pipe.js';

/** `@` begins an address in the abstract namespace, for which node:net expects a zero byte. */
function endpointOf({
  scheme,
  host,
  port,
  path,
}: Address): { path: string } | { host: string; port: number } {
  return scheme === 'unix' ? { path: path.replace(/^@/, '\0') } : { host, port };
}

let lastPath = 0;

/**
 * Where the proxy listens by default: a free port, or a new path in the folder of temporary files.
 */
function defaultEndpoint(target: Address): { path: string } | { host: string; port: number } {
  if (target.scheme === 'unix')
    return { path: join(tmpdir(), `getty-proxy-${process.pid}-${++lastPath}.sock`) };
  return { host: target.host, port: 0 };
}

export class StreamRelay implements Relay {
  readonly #setup: RelaySetup;
  readonly #server: Server;
  readonly #connections = new Set<ProxiedConnection>();
  #target: Address;

  private constructor(target: Address, setup: RelaySetup) {
    this.#target = target;
    this.#setup = setup;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) =>
      this.#accept(client),
    );
  }

  /** Rejects with LISTEN_FAILED. */
  static async listen(
    target: Address,
    setup: RelaySetup,
    listen: Address | undefined,
  ): Promise<StreamRelay> {
    const relay = new StreamRelay(target, setup);
    const endpoint = listen === undefined ? defaultEndpoint(target) : endpointOf(listen);
    try {
      relay.#server.listen(endpoint);
      await once(relay.#server, 'listening');
    } catch (error) {
      throw gettyError('LISTEN_FAILED', `the proxy cannot listen: ${messageOf(error)}`, error);
    }
    // An error of accept() must not end the process.
    relay.#server.on('error', () => {});
    return relay;
  }

  get boundAddress(): string {
    const address = this.#server.address() as AddressInfo | string;
    if (typeof address === 'string') return `unix://${address.replace(/^\0/, '@')}`;
    return formatAddress('tcp', address.address, address.port);
  }

  get connections(): number {
    return this.#connections.size;
  }

  set target(target: Address) {
    this.#target = target;
  }

  #accept(client: Socket): void {
    const { observer, maxConnections } = this.#setup;
    const number = this.#setup.onConnection();
    const peer = peerOf(client);
    if (this.#setup.isRefusing() || this.#connections.size >= maxConnections) {
      client.on('error', () => {});
      destroySocket(client, true);
      return observer?.onRefused(number, peer);
    }
    observer?.onOpen(number, peer);
    const connection = new ProxiedConnection(number, client, this.#dial(), this.#setup, () =>
      this.#connections.delete(connection),
    );
    this.#connections.add(connection);
  }

  #dial(): Socket {
    const { tls } = this.#setup;
    const options = { ...endpointOf(this.#target), allowHalfOpen: true, noDelay: true };
    return tls === undefined ? connect(options) : connectTls({ ...tls, ...options });
  }

  update(): void {
    for (const connection of this.#connections) connection.update();
  }

  reset(): void {
    for (const connection of this.#connections) connection.reset();
  }

  async close(): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    for (const connection of this.#connections) connection.destroy();
    await closed;
  }
}

/** A client's socket with the socket to the target. */
class ProxiedConnection {
  readonly #number: number;
  readonly #sockets: Readonly<Record<Direction, Socket>>;
  readonly #pipes: readonly StreamPipe[];
  readonly #setup: RelaySetup;
  readonly #onClosed: () => void;
  readonly #acceptedAt = performance.now();
  /** The sides that were lost, by the direction in which they sent. */
  readonly #lost = new Set<Direction>();
  #failure: { readonly error: Error; readonly direction: Direction } | undefined;
  #resetTimer: LongTimer | undefined;
  #isOver = false;

  constructor(
    number: number,
    client: Socket,
    server: Socket,
    setup: RelaySetup,
    onClosed: () => void,
  ) {
    this.#number = number;
    this.#sockets = { toServer: client, toClient: server };
    this.#setup = setup;
    this.#onClosed = onClosed;
    this.#pipes = [this.#pipe('toServer', client, server), this.#pipe('toClient', server, client)];
    this.#startResetTimer();
  }

  #pipe(direction: Direction, source: Socket, target: Socket): StreamPipe {
    // A socket reports its error here also if this side only receives.
    source.on('error', (error) => {
      this.#lost.add(direction);
      this.#failure ??= { error, direction };
      this.#passLosses();
    });
    source.on('close', () => this.#closeIfOver());
    return new StreamPipe(source, target, this.#setup.random, {
      faults: () => this.#faults(direction),
      onBytes: (bytes) => this.#setup.onBytes(this.#number, direction, bytes),
      onLimit: () => this.reset(),
    });
  }

  #faults(direction: Direction): ResolvedFaults {
    return this.#setup.faults()[direction];
  }

  /** Resets the other side of a lost one, unless a fault hides the loss. */
  #passLosses(): void {
    for (const direction of this.#lost) {
      const { blocked, halfOpen } = this.#faults(direction);
      const other = direction === 'toServer' ? 'toClient' : 'toServer';
      if (!blocked && !halfOpen) destroySocket(this.#sockets[other], true);
    }
  }

  #closeIfOver(): void {
    const { toServer, toClient } = this.#sockets;
    if (this.#isOver || !toServer.destroyed || !toClient.destroyed) return;
    this.#isOver = true;
    this.#resetTimer?.cancel();
    for (const pipe of this.#pipes) pipe.stop();
    this.#onClosed();
    const { error, direction } = this.#failure ?? {};
    this.#setup.observer?.onClose(this.#number, error, direction);
  }

  #startResetTimer(): void {
    this.#resetTimer?.cancel();
    const { toServer, toClient } = this.#setup.faults();
    const after = Math.min(toServer.resetAfter, toClient.resetAfter);
    const left = Math.max(0, this.#acceptedAt + after - performance.now());
    this.#resetTimer = new LongTimer(() => this.reset(), left);
  }

  update(): void {
    this.#startResetTimer();
    this.#passLosses();
    for (const pipe of this.#pipes) pipe.update();
  }

  reset(): void {
    for (const socket of Object.values(this.#sockets)) destroySocket(socket, true);
  }

  destroy(): void {
    for (const socket of Object.values(this.#sockets)) destroySocket(socket, false);
  }
}

/** Empty for a Unix socket. */
function peerOf({ remoteAddress, remotePort }: Socket): string {
  if (remoteAddress === undefined || remotePort === undefined) return '';
  return formatAddress('tcp', remoteAddress, remotePort);
}

/** `withReset`: the peer sees ECONNRESET. Unix sockets and sockets of TLS have no reset. */
function destroySocket(socket: Socket, withReset: boolean): void {
  const hasReset = socket.remoteAddress !== undefined && !(socket instanceof TLSSocket);
  if (withReset && hasReset) socket.resetAndDestroy();
  else socket.destroy();
}
