/** The transport over the standard input and output of a child process. */
import { gettyError } from '../../core/errors.js';
import type { Address, StdioEnd } from '../address.js';
import type { Transport } from '../types.js';
import { exitOf } from './child-exit.js';
import { stdioStreams } from './stdio-address.js';
import { StdioConnection } from './stdio-connection.js';

/** The inputs over which a session was opened. A stream that has ended cannot be used again. */
const used = new WeakSet<object>();

function claim(address: Address, failure: (reason: string) => Error): StdioConnection {
  const end = address.stdio as StdioEnd;
  const streams = stdioStreams(end.given);
  const { child, input, output } = streams;
  const exit = child === undefined ? undefined : exitOf(child);
  if (exit !== undefined) throw failure(exit.text);
  if (child !== undefined && child.pid === undefined)
    throw failure('the child process was not started');
  if (used.has(input)) throw failure('it has had a session, and it can have one only');
  if (output.writableEnded || output.destroyed) throw failure('its output has ended');
  used.add(input);
  return new StdioConnection(streams, end);
}

export const stdio: Transport = {
  async listen(address, _options, accept) {
    const connection = claim(address, (reason) =>
      gettyError('LISTEN_FAILED', `cannot listen at ${address.text}: ${reason}`),
    );
    // After serve() has resolved, as on other transports.
    setImmediate(() => accept(connection));
    return { address: address.text, close: () => Promise.resolve() };
  },

  async dial(address) {
    return claim(address, (reason) =>
      gettyError('CONNECT_FAILED', `cannot connect to ${address.text}: ${reason}`),
    );
  },
};
