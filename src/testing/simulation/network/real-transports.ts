/** The transports that are not simulated, as code of a simulation gets them. */
import { gettyError, messageOf } from '../../../core/errors.js';
import type { Address } from '../../../transport/address.js';
import type { Transport } from '../../../transport/types.js';
import { activeProcess } from '../context.js';

/** The schemes of sockets of the system. */
export const SYSTEM_SCHEMES = ['tcp', 'tls', 'unix', 'udp', 'ws', 'wss'] as const;

/**
 * Fails the simulation if code of it runs. The result settles only in other code: a loop that tries
 * again at once would not let the simulation end.
 */
async function refuse({ text }: Address): Promise<void> {
  const process = activeProcess();
  if (process === undefined) return;
  process.failForRealIo(text);
  await new Promise(() => {});
}

/** A transport of the system. In a simulation it names the address, and opens no socket. */
export function refusingInSimulation(transport: Transport): Transport {
  return {
    maxSessions: transport.maxSessions,
    async listen(address, options, accept) {
      await refuse(address);
      return transport.listen(address, options, accept);
    },
    async dial(address, options, signal) {
      await refuse(address);
      return transport.dial(address, options, signal);
    },
  };
}

/** The transport memory://, which connects code of one process: of one host in a simulation. */
export function explainingHosts(transport: Transport): Transport {
  return {
    ...transport,
    async dial(address, options, signal) {
      try {
        return await transport.dial(address, options, signal);
      } catch (error) {
        const process = activeProcess();
        if (process === undefined) throw error;
        throw gettyError(
          'CONNECT_FAILED',
          `${messageOf(error)} (${process.host.name}); use sim:// between the hosts of a simulation`,
          error,
        );
      }
    },
  };
}
