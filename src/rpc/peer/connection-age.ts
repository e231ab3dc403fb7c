/** RpcServerOptions.maxConnectionAge: ends sessions in order when they are old. */
import { LongTimer } from '../../core/timers.js';
import type { RpcChannel } from '../calls/channel.js';

/** The age of a session differs by up to this part of it from `maxConnectionAge`. */
const JITTER = 0.1;

export class ConnectionAge {
  readonly #maxAge: number;
  readonly #grace: number;
  readonly #timers = new Map<RpcChannel, LongTimer>();

  /** Both in milliseconds; see RpcServerOptions. */
  constructor(maxAge: number, grace: number) {
    this.#maxAge = maxAge;
    this.#grace = grace;
  }

  onOpen(channel: RpcChannel): void {
    // Without the jitter, clients that have connected together would always reconnect together.
    const age = this.#maxAge * (1 - JITTER + 2 * JITTER * Math.random());
    this.#timers.set(channel, new LongTimer(() => this.#end(channel), age, false));
  }

  onClose(channel: RpcChannel): void {
    this.#timers.get(channel)?.cancel();
    this.#timers.delete(channel);
  }

  #end(channel: RpcChannel): void {
    // Before the first frame it is unknown whether the peer understands goaway.
    if (channel.extended === undefined) this.onOpen(channel);
    // A plain peer would lose the calls that are on their way. Datagrams have no connection.
    else if (channel.extended && channel.session?.lossy === false)
      void channel.closeInOrder(this.#grace);
  }
}
