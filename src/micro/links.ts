/** The connections of a consumer: one client per address, dialled when a call first needs it. */
import { messageOf } from '../errors.js';
import { type Call, connect, type RpcClient, type RpcClientOptions, RpcError } from '../rpc/index.js';
import { within } from '../timing.js';

/** Milliseconds that an address rests after it could not be dialled; doubles with each failure up to the longest. */
const FIRST_REST = 200;
const LONGEST_REST = 5_000;

export class Link {
  readonly address: string;
  readonly #options: RpcClientOptions;
  readonly #changed: () => void;
  #client: RpcClient | undefined;
  #dialing: Promise<RpcClient> | undefined;
  #ready = false;
  #failures = 0;
  #rest: NodeJS.Timeout | undefined;
  #closed = false;

  /** `changed` is called when `available` may have changed. */
  constructor(address: string, options: RpcClientOptions, changed: () => void) {
    this.address = address;
    this.#options = options;
    this.#changed = changed;
  }

  /** Worth a call: connected, or not tried yet, or rested. */
  get available(): boolean {
    return this.#client === undefined ? this.#rest === undefined : this.#ready;
  }

  /** Rejects with an RpcError; with UNAVAILABLE and `unsent` when there is no connection. */
  invoke(call: Call): Promise<unknown> {
    return this.#client === undefined ? this.#invokeLater(call) : this.#client.invoke(call);
  }

  async #invokeLater(call: Call): Promise<unknown> {
    const began = performance.now();
    const { timeout = Number.POSITIVE_INFINITY } = call;
    let client: RpcClient;
    try {
      // Concurrent first calls share one dial.
      this.#dialing ??= this.#dial();
      client = await within(timeout, this.#dialing, () => new Error(`no connection within ${timeout} ms`));
    } catch (error) {
      throw new RpcError('UNAVAILABLE', `${this.address} cannot be called: ${messageOf(error)}`, { cause: error, unsent: true });
    }
    return client.invoke(call.timeout === undefined ? call : call.with({ timeout: Math.max(1, timeout - (performance.now() - began)) }));
  }

  async #dial(): Promise<RpcClient> {
    clearTimeout(this.#rest);
    this.#rest = undefined;
    try {
      if (this.#closed) throw new Error('the node is gone');
      const client = await connect(this.address, {
        ...this.#options,
        onReady: (ready) => {
          this.#ready = ready;
          this.#changed();
        },
      });
      if (this.#closed) {
        await client.close();
        throw new Error('the node is gone');
      }
      this.#client = client;
      this.#failures = 0;
      return client;
    } catch (error) {
      this.#failures++;
      const rest = Math.min(LONGEST_REST, FIRST_REST * 2 ** Math.min(this.#failures - 1, 10)) * (0.5 + Math.random() / 2);
      if (!this.#closed) {
        this.#rest = setTimeout(() => {
          this.#rest = undefined;
          this.#changed();
        }, rest);
        this.#rest.unref();
      }
      throw error;
    } finally {
      this.#dialing = undefined;
      this.#changed();
    }
  }

  /** Let calls under way finish, and dial no more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#rest);
    await this.#dialing?.catch(() => {});
    await this.#client?.close();
  }
}

export class Links {
  readonly #byAddress = new Map<string, Link>();
  readonly #closing = new Set<Promise<void>>();
  readonly #options: RpcClientOptions;
  readonly #changed: () => void;

  constructor(options: RpcClientOptions, changed: () => void) {
    this.#options = options;
    this.#changed = changed;
  }

  of(address: string): Link {
    let link = this.#byAddress.get(address);
    if (link === undefined) {
      link = new Link(address, this.#options, this.#changed);
      this.#byAddress.set(address, link);
    }
    return link;
  }

  /** False while the address rests after a failure, or its session is lost. */
  isAvailable(address: string): boolean {
    return this.#byAddress.get(address)?.available ?? true;
  }

  /** Close the links to every other address: a provider that is gone is not dialled for ever. */
  keepOnly(addresses: ReadonlySet<string>): void {
    for (const [address, link] of this.#byAddress) {
      if (addresses.has(address)) continue;
      this.#byAddress.delete(address);
      const closing = link.close().finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    }
  }

  async close(): Promise<void> {
    this.keepOnly(new Set());
    await Promise.all(this.#closing);
  }
}
