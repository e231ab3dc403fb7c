/** The transport `sim://host:port`: streams of a simulated network, in virtual time. */
import type { AsyncResource } from 'node:async_hooks';
import { gettyError } from '../../../core/errors.js';
import { followSignal } from '../../../core/signals.js';
import type { Address } from '../../../transport/address.js';
import type { Connection, Transport } from '../../../transport/types.js';
import { activeProcess, type SimulatedProcess } from '../context.js';
import { type NetworkHost, networkOf, type SimulatedNetwork } from './network.js';
import { connectPair, type StreamConnection, systemError } from './stream-connection.js';

/** Milliseconds before a connection request is repeated the first time, as in TCP. */
const FIRST_REPEAT = 1_000;
/** Requests of one attempt to connect, as in Linux. */
const MAX_REQUESTS = 7;

interface StreamListener {
  readonly process: SimulatedProcess;
  readonly resource: AsyncResource;
  readonly address: string;
  readonly accept: (connection: Connection) => void;
}

/** The process of the running code, and its host on the network. */
export function ownPlace(
  target: Address,
): { process: SimulatedProcess; network: SimulatedNetwork; host: NetworkHost } | undefined {
  const process = activeProcess();
  if (process === undefined) return undefined;
  const network = networkOf(process.world);
  const host = network?.findHost(process.host.name);
  if (network === undefined || host === undefined)
    throw new Error(`${target.text}: the host of the running code has left the network`);
  return { process, network, host };
}

export function outsideError(code: 'LISTEN_FAILED' | 'CONNECT_FAILED', target: Address): Error {
  return gettyError(
    code,
    `${target.text} can be used by code in a scenario or host of simulate() only`,
  );
}

/** Why the running host cannot listen at `target`. */
export function listenError(target: Address, code: string): Error {
  const cause = systemError('listen', code);
  return gettyError('LISTEN_FAILED', `cannot listen at ${target.text}: ${cause.message}`, cause);
}

/** Whether `address` names the host `name`, or all addresses: no host, or 0.0.0.0. */
export function isOwnHost({ host }: Address, name: string): boolean {
  return host === '' || host === '0.0.0.0' || host === name;
}

class Dial {
  readonly #address: Address;
  readonly #process: SimulatedProcess;
  readonly #network: SimulatedNetwork;
  readonly #host: NetworkHost;
  readonly #port: number;
  readonly #resolve: (connection: Connection) => void;
  readonly #reject: (error: Error) => void;
  #requests = 0;
  /** Set when the other host has accepted the connection. */
  #accepted: StreamConnection | undefined;
  #isOver = false;

  constructor(
    address: Address,
    place: { process: SimulatedProcess; network: SimulatedNetwork; host: NetworkHost },
    settle: { resolve: (connection: Connection) => void; reject: (error: Error) => void },
  ) {
    this.#address = address;
    this.#process = place.process;
    this.#network = place.network;
    this.#host = place.host;
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
    this.#port = place.network.openPort(place.host, 'sim', 0, this) ?? 0;
  }

  get #label(): string {
    return `${this.#host.name}:${this.#port} > ${this.#address.host}:${this.#address.port}`;
  }

  fail(cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#accepted?.destroy();
    this.#network.closePort(this.#host, 'sim', this.#port, this);
    const message = cause instanceof Error ? cause.message : String(cause);
    this.#reject(
      gettyError('CONNECT_FAILED', `cannot connect to ${this.#address.text}: ${message}`, cause),
    );
  }

  request(): void {
    if (this.#isOver || this.#accepted !== undefined || this.#process.isDead) return;
    const { world } = this.#network;
    if (++this.#requests > MAX_REQUESTS) {
      this.#process.dispatch(() => this.fail(systemError('connect', 'ETIMEDOUT')));
      return;
    }
    const name = this.#address.host;
    const link = this.#network.link(this.#host.name, name);
    const isLost = link.isLost();
    world.schedule(Math.round(link.delay()), () => {
      if (!isLost) this.#arrive(name);
    });
    world.schedule(FIRST_REPEAT * 2 ** (this.#requests - 1), () => this.request());
  }

  /** The request arrives at the system of the other host. */
  #arrive(name: string): void {
    if (this.#isOver || this.#accepted !== undefined || this.#process.isDead) return;
    const target = this.#network.findHost(name);
    const server = target?.process;
    const isBlocked =
      !this.#network.isOpen(this.#host.name, name) || !this.#network.isOpen(name, this.#host.name);
    if (target === undefined || !target.isUp || isBlocked) return;
    const { world } = this.#network;
    const listener = target.ports.get(`sim ${this.#address.port}`);
    const delay = Math.round(this.#network.link(name, this.#host.name).delay());
    if (server === undefined || !isListener(listener)) {
      world.trace.addLinkEvent(this.#label, 'refused');
      world.schedule(delay, () =>
        this.#process.dispatch(() => this.fail(systemError('connect', 'ECONNREFUSED'))),
      );
      return;
    }
    world.trace.addLinkEvent(this.#label, 'connected');
    const [near, far] = connectPair(
      this.#network,
      { process: this.#process, address: `sim://${this.#host.name}:${this.#port}` },
      { process: server, address: listener.address },
      (make) => listener.resource.runInAsyncScope(make),
    );
    this.#accepted = near;
    server.dispatch(() => listener.accept(far), listener.resource);
    world.schedule(delay, () => this.#process.dispatch(() => this.#connected(near)));
  }

  #connected(near: StreamConnection): void {
    if (this.#isOver) return;
    this.#isOver = true;
    near.onReleased = () => this.#network.closePort(this.#host, 'sim', this.#port, this);
    this.#resolve(near);
  }
}

function isListener(found: unknown): found is StreamListener {
  return found !== undefined && !(found instanceof Dial);
}

export const sim: Transport = {
  async listen(address, _options, accept) {
    const place = ownPlace(address);
    if (place === undefined) throw outsideError('LISTEN_FAILED', address);
    const { network, host, process } = place;
    if (!isOwnHost(address, host.name)) throw listenError(address, 'EADDRNOTAVAIL');
    const listener = {
      process,
      resource: process.resource('SIMLISTENER'),
      address: '',
      accept,
    };
    const port = network.openPort(host, 'sim', address.port, listener);
    if (port === undefined) throw listenError(address, 'EADDRINUSE');
    listener.address = `sim://${host.name}:${port}`;
    return {
      address: listener.address,
      async close() {
        if (!process.isDead) network.closePort(host, 'sim', port, listener);
      },
    };
  },

  async dial(address, _options, signal) {
    const place = ownPlace(address);
    if (place === undefined) throw outsideError('CONNECT_FAILED', address);
    const name = address.host === '' ? place.host.name : address.host;
    const target = { ...address, host: name };
    return new Promise<Connection>((resolve, reject) => {
      const settle = { resolve, reject };
      const dial = new Dial(target, place, settle);
      if (place.network.findHost(name) === undefined)
        return dial.fail(systemError('getaddrinfo', 'ENOTFOUND'));
      const release = followSignal(signal, () => dial.fail(signal.reason));
      settle.resolve = (connection) => {
        release();
        resolve(connection);
      };
      if (signal.aborted) dial.fail(signal.reason);
      else dial.request();
    });
  },
};
