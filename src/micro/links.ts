/** The connections of a consumer: one client per address, dialled when a call first needs it. */
import { messageOf } from '../core/errors.js';
import { within } from '../core/timers.js';
import { type Call, connect, type RpcClient, type RpcClientOptions, RpcError } from '../rpc/index.js';

/** Milliseconds that an address rests after it could not be dialled; doubles with each failure up to the longest. */
const FIRST_REST = 200;
const LONGEST_REST = 5_000;
/** How often within an idle timeout it is looked whether a link was used. */
const LOOKS = 4;

export class Link {
  readonly address: string;
  readonly #options: RpcClientOptions;
  readonly #changed: () => void;
  #client: RpcClient | undefined;
  /** Of the client; `left`: what it tells is of no interest any more. */
  #connection = { left: false };
  #dialing: Promise<RpcClient> | undefined;
  #ready = false;
  #failures = 0;
  #lastFailure: unknown;
  #rest: NodeJS.Timeout | undefined;
  #used = true;
  /** Looks in a row that found it unused. */
  #unused = 0;
  /** Connections that nobody used, on their way out. */
  readonly #leaving = new Set<Promise<void>>();
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

  /** Why it is not worth a call, for people to read; undefined when it is. */
  get fault(): string | undefined {
    if (this.available) return undefined;
    if (this.#client !== undefined) return 'its connection is lost, and tried again';
    return `it could not be dialled, and rests for a while: ${messageOf(this.#lastFailure)}`;
  }

  /** Rejects with an RpcError; with UNAVAILABLE and `unsent` when there is no connection. */
  invoke(call: Call): Promise<unknown> {
    this.#used = true;
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
      const connection = { left: false };
      const client = await connect(this.address, {
        ...this.#options,
        onReady: (ready) => {
          if (connection.left) return;
          this.#ready = ready;
          this.#changed();
        },
      });
      if (this.#closed) {
        await client.close();
        throw new Error('the node is gone');
      }
      this.#client = client;
      this.#connection = connection;
      this.#failures = 0;
      return client;
    } catch (error) {
      this.#failures++;
      this.#lastFailure = error;
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

  /** Whether it was used since the last look; after so many looks in vain its connections are closed, and the next call dials again. */
  look(): void {
    const client = this.#client;
    if (client === undefined) return;
    if (this.#used || isBusy(client)) {
      this.#used = false;
      this.#unused = 0;
    } else if (++this.#unused >= LOOKS) {
      this.#leave(client);
    }
  }

  #leave(client: RpcClient): void {
    this.#connection.left = true;
    this.#client = undefined;
    this.#ready = false;
    this.#used = true;
    this.#unused = 0;
    const leaving = client.close().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    this.#changed();
  }

  /** Let calls under way finish, and dial no more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#rest);
    await this.#dialing?.catch(() => {});
    await Promise.all([this.#client?.close(), ...this.#leaving]);
  }
}

function isBusy({ channels }: RpcClient): boolean {
  for (const { pending, serving } of channels) if (pending > 0 || serving > 0) return true;
  return false;
}

export class Links {
  readonly #byAddress = new Map<string, Link>();
  readonly #closing = new Set<Promise<void>>();
  readonly #options: RpcClientOptions;
  readonly #changed: () => void;
  readonly #idleTimeout: number;
  #looks: NodeJS.Timeout | undefined;

  /** `idleTimeout`: milliseconds after which connections that no call has used are closed; 0: never. */
  constructor(options: RpcClientOptions, idleTimeout: number, changed: () => void) {
    this.#options = options;
    this.#idleTimeout = idleTimeout;
    this.#changed = changed;
  }

  of(address: string): Link {
    let link = this.#byAddress.get(address);
    if (link === undefined) {
      link = new Link(address, this.#options, this.#changed);
      this.#byAddress.set(address, link);
      if (this.#idleTimeout > 0) this.#looks ??= setInterval(() => this.#look(), this.#idleTimeout / LOOKS).unref();
    }
    return link;
  }

  #look(): void {
    for (const link of this.#byAddress.values()) link.look();
  }

  /** Why the address is not worth a call; undefined when it is. */
  faultOf(address: string): string | undefined {
    return this.#byAddress.get(address)?.fault;
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
    if (this.#byAddress.size > 0) return;
    clearInterval(this.#looks);
    this.#looks = undefined;
  }

  async close(): Promise<void> {
    this.keepOnly(new Set());
    await Promise.all(this.#closing);
  }
}
