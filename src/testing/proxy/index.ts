/** proxy(): a proxy on real sockets, between a client and a server, that makes faults. */
import { badOption, checkNames, checkNumber, type NamesOf } from '../../core/options.js';
import { type Address, parseAddress } from '../../transport/address.js';
import type { TlsOptions } from '../../transport/index.js';
import { tlsClientOptions } from '../../transport/tls/tls-options.js';
import { seededRandom } from '../random.js';
import { DatagramRelay } from './datagram-proxy.js';
import { type Direction, PROXY_SCHEMES, type ProxyFaults, resolveFaults } from './faults.js';
import type { ProxyObserver, Relay } from './relay.js';
import { StreamRelay } from './stream-proxy.js';

export { type Direction, FAULT_DEFAULTS, type Faults, type ProxyFaults } from './faults.js';
export type { ProxyObserver } from './relay.js';

/** Options of proxy(). */
export interface ProxyOptions {
  /**
   * Where the proxy listens: an address with the scheme of the target. Default: a free port of the
   * target's host, or a new path in the folder of temporary files.
   */
  listen?: string | undefined;
  /** Determines the random choices: jitter, loss, duplication, reordering. Default: 1. */
  seed?: number | undefined;
}

const OPTION_NAMES = { listen: true, seed: true } satisfies NamesOf<ProxyOptions>;

/** A proxy that makes faults. `await using` closes it. */
export interface FaultProxy extends AsyncDisposable {
  /**
   * The address for clients. It has the scheme, the path and the query of the target; for `unix` it
   * has a path of its own.
   */
  readonly address: string;
  /** The address of the server. A new one is used by connections that are accepted later. */
  target: string;
  /** How many connections are open; of datagrams, how many clients are known. */
  readonly connections: number;
  /**
   * How many connections were accepted since the start, also those that were refused. Of datagrams:
   * how many clients; while `refusing` is true, each datagram of a new client counts.
   */
  readonly accepted: number;
  /** How many bytes have passed since the start. */
  readonly bytes: Readonly<Record<'toServer' | 'toClient', number>>;
  /**
   * True: new connections are reset at once, and datagrams of new clients are dropped. Open
   * connections and known clients stay. Default: false.
   */
  refusing: boolean;
  /** Replace all faults, also of open connections. Throws BAD_OPTION. */
  set(faults: ProxyFaults): void;
  /**
   * Reset all connections: both sides see a lost connection (ECONNRESET on TCP). Of datagrams: the
   * server sees each client at another port from then on. New connections are accepted.
   */
  reset(): void;
  /** Close all connections and stop listening. Settles when the address is free. */
  close(): Promise<void>;
}

/**
 * Starts a proxy to the server at `target`, on real sockets, that makes `faults`. It passes bytes
 * without looking at them: `tls`, `ws` and `wss` are TCP for it, so encryption goes through.
 *
 * ```ts
 * await using network = await proxy(server.address, { latency: 50, jitter: 10 });
 * await using client = await connect(network.address, setup);
 * network.set({ toClient: { blocked: true } });
 * ```
 *
 * Rejects with BAD_OPTION (also for a fault that the scheme of the target does not have),
 * BAD_ADDRESS (also for `memory:`), or LISTEN_FAILED.
 */
export async function proxy(
  target: string,
  faults: ProxyFaults = {},
  options: ProxyOptions = {},
): Promise<FaultProxy> {
  checkNames('proxy()', options, OPTION_NAMES);
  const { listen, seed = 1 } = options;
  checkNumber('seed', seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  const { scheme } = parseAddress(target, PROXY_SCHEMES);
  return startProxy(target, faults, { listen, listenSchemes: [scheme], seed });
}

/** A proxy as the command line starts it. */
export interface ProxySettings {
  readonly listen: string | undefined;
  /** The schemes that `listen` may have. Only datagrams can be passed to `udp`. */
  readonly listenSchemes: readonly string[];
  readonly seed: number;
  /** The most open connections, or known clients of datagrams. Default: Infinity. */
  readonly maxConnections?: number | undefined;
  /** The proxy encrypts its connections to the target. Default: it passes the bytes as they are. */
  readonly tls?: TlsOptions | undefined;
  readonly observer?: ProxyObserver | undefined;
}

/** A fault proxy, and the address where it listens: of `tcp`, `unix` or `udp`. */
export interface StartedProxy extends FaultProxy {
  readonly boundAddress: string;
}

/** Starts a proxy. Rejects as proxy(), with BAD_OPTION also for invalid `tls`. */
export async function startProxy(
  target: string,
  faults: ProxyFaults,
  settings: ProxySettings,
): Promise<StartedProxy> {
  const address = parseAddress(target, PROXY_SCHEMES);
  const { listen, listenSchemes } = settings;
  const listenAddress = listen === undefined ? undefined : parseAddress(listen, listenSchemes);
  const started = new SocketFaultProxy(target, address, faults, settings);
  await started.listen(listenAddress);
  return started;
}

class SocketFaultProxy implements StartedProxy {
  readonly bytes = { toServer: 0, toClient: 0 };
  accepted = 0;
  #isRefusing = false;
  #faults: ReturnType<typeof resolveFaults>;
  #target: string;
  readonly #parsed: Address;
  readonly #settings: ProxySettings;
  #relay: Relay | undefined;
  #address = '';
  #closing: Promise<void> | undefined;

  constructor(target: string, parsed: Address, faults: ProxyFaults, settings: ProxySettings) {
    this.#target = target;
    this.#parsed = parsed;
    this.#faults = resolveFaults(faults, parsed.scheme);
    this.#settings = settings;
  }

  async listen(listenAddress: Address | undefined): Promise<void> {
    const { seed, observer, tls, maxConnections = Number.POSITIVE_INFINITY } = this.#settings;
    const setup = {
      random: seededRandom(seed, 'proxy'),
      observer,
      maxConnections,
      tls: tls && tlsClientOptions(tls, this.#parsed),
      faults: () => this.#faults,
      isRefusing: () => this.#isRefusing,
      onConnection: () => ++this.accepted,
      onBytes: (connection: number, direction: Direction, bytes: Buffer) => {
        this.bytes[direction] += bytes.length;
        return observer?.onBytes(connection, direction, bytes);
      },
    };
    const { scheme, host } = this.#parsed;
    const kind = scheme === 'udp' ? DatagramRelay : StreamRelay;
    this.#relay = await kind.listen(this.#parsed, setup, listenAddress);
    const { boundAddress } = this.#relay;
    this.#address = clientAddress(this.#target, scheme, listenAddress?.host ?? host, boundAddress);
  }

  get address(): string {
    return this.#address;
  }

  get boundAddress(): string {
    return this.#relay?.boundAddress ?? '';
  }

  get target(): string {
    return this.#target;
  }

  set target(target: string) {
    const parsed = parseAddress(target, [this.#parsed.scheme]);
    this.#target = target;
    if (this.#relay !== undefined) this.#relay.target = parsed;
  }

  get connections(): number {
    return this.#relay?.connections ?? 0;
  }

  get refusing(): boolean {
    return this.#isRefusing;
  }

  set refusing(isRefusing: boolean) {
    if (typeof isRefusing !== 'boolean') throw badOption('refusing', isRefusing, 'a boolean');
    this.#isRefusing = isRefusing;
  }

  set(faults: ProxyFaults): void {
    this.#faults = resolveFaults(faults, this.#parsed.scheme);
    this.#relay?.update();
  }

  reset(): void {
    this.#relay?.reset();
  }

  close(): Promise<void> {
    this.#closing ??= this.#relay?.close() ?? Promise.resolve();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * The target's address with the port of the proxy. It keeps the name of a host, which TLS compares
 * with the certificate; `boundAddress` has an IP address.
 */
function clientAddress(target: string, scheme: string, host: string, boundAddress: string): string {
  if (scheme === 'unix') return boundAddress;
  const port = boundAddress.slice(boundAddress.lastIndexOf(':') + 1);
  const isV6 = host.includes(':');
  const authority = `${isV6 ? `[${host}]` : host || '127.0.0.1'}:${port}`;
  return target.replace(/^(\w+:\/\/(?:[^/?#@]*@)?)[^/?#]*/, `$1${authority}`);
}
