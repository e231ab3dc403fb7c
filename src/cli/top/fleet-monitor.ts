/** Takes samples of the statistics of all nodes of a target. */
import type { EventLoopDelay, RpcClient } from '../../rpc/index.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import { inParallel } from '../target/dial.js';
import { statisticsOfServer, statusOfServer } from '../target/introspection.js';
import { connectTo } from '../target/server-connection.js';
import type { Terminal } from '../terminal.js';
import { type MethodRate, methodRates, type Sample } from './method-rates.js';

/** The most nodes that are asked. */
const MAX_NODES = 500;

/** Milliseconds between two questions for the event loop, which a server measures for 5 s. */
const STATUS_INTERVAL = 1_000;

/** One node: its connection, and its last sample. */
class NodeMonitor {
  readonly name: string;
  readonly #address: string;
  #client: RpcClient | undefined;
  #last: Sample | undefined;
  #statusTime = Number.NEGATIVE_INFINITY;
  /** Why the last sample could not be taken. */
  failure: unknown;
  /** Undefined: not measured yet, or the server does not tell it. */
  eventLoopDelay: EventLoopDelay | undefined;

  constructor(name: string, address: string) {
    this.name = name;
    this.#address = address;
  }

  /**
   * The rates since the last sample; none for the first one, and for a node that does not answer.
   */
  async sample(options: ConnectionOptions, terminal: Terminal): Promise<MethodRate[]> {
    try {
      this.#client ??= await connectTo(this.#address, options, terminal);
      const report = await statisticsOfServer(this.#client, terminal, true);
      const sample = { time: performance.now(), report };
      const before = this.#last;
      this.#last = sample;
      this.failure = undefined;
      await this.#readEventLoop(this.#client, terminal);
      return before === undefined ? [] : methodRates(this.name, before, sample);
    } catch (error) {
      this.failure = error;
      this.eventLoopDelay = undefined;
      // The client does not connect again by itself.
      this.close();
      return [];
    }
  }

  /** After the statistics, and not with them: a server may have a limit of one call. */
  async #readEventLoop(client: RpcClient, terminal: Terminal): Promise<void> {
    if (performance.now() - this.#statusTime < STATUS_INTERVAL) return;
    this.#statusTime = performance.now();
    // The statistics are an answer: a node of an older version, or a busy one, keeps its rows.
    const status = await statusOfServer(client, terminal).catch(() => undefined);
    this.eventLoopDelay = status?.process.eventLoopDelay;
  }

  close(): void {
    this.#client?.destroy();
    this.#client = undefined;
  }
}

/** A node that did not answer. */
export interface NodeFailure {
  readonly node: string;
  readonly error: unknown;
}

/** The event loop of a node, in the last 5 to 10 s. */
export interface NodeEventLoop {
  readonly node: string;
  readonly delay: EventLoopDelay;
}

export interface FleetSample {
  readonly rates: readonly MethodRate[];
  /** How many nodes were asked, and how many of them did not answer. */
  readonly nodes: number;
  readonly failures: readonly NodeFailure[];
  /** Without nodes whose event loop was not measured. */
  readonly eventLoops: readonly NodeEventLoop[];
}

export class FleetMonitor implements Disposable {
  readonly #options: ConnectionOptions;
  readonly #terminal: Terminal;
  /** The nodes by address. */
  readonly #nodes = new Map<string, NodeMonitor>();

  constructor(options: ConnectionOptions, terminal: Terminal) {
    this.#options = options;
    this.#terminal = terminal;
  }

  /** Follows the nodes of a list, and no others. `name`: the id of the node at an address. */
  follow(addresses: ReadonlyMap<string, string>): void {
    for (const [address, node] of this.#nodes) {
      if (addresses.has(address)) continue;
      node.close();
      this.#nodes.delete(address);
    }
    for (const [address, name] of addresses) {
      if (this.#nodes.size >= MAX_NODES) break;
      if (!this.#nodes.has(address)) this.#nodes.set(address, new NodeMonitor(name, address));
    }
  }

  async sample(): Promise<FleetSample> {
    const nodes = [...this.#nodes.values()];
    const rates = await inParallel(nodes, (node) => node.sample(this.#options, this.#terminal));
    return {
      rates: rates.flat(),
      nodes: nodes.length,
      failures: nodes.flatMap(({ name, failure }) =>
        failure === undefined ? [] : [{ node: name, error: failure }],
      ),
      eventLoops: nodes.flatMap(({ name, eventLoopDelay }) =>
        eventLoopDelay === undefined ? [] : [{ node: name, delay: eventLoopDelay }],
      ),
    };
  }

  [Symbol.dispose](): void {
    for (const node of this.#nodes.values()) node.close();
  }
}
