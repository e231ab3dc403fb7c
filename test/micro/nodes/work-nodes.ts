/** Nodes of one service: providers of it, and an address that never answers. */
import { createServer } from 'node:net';
import { provide, type ServiceNode } from '../../../src/micro/index.js';
import type { memory } from '../../../src/registries/memory.js';
import { contract, implement, serverStream, unary } from '../../../src/rpc/index.js';
import { node } from '../../fixtures/registries.js';

export const Work = contract('Work', {
  getId: unary<void, string>({ idempotent: true }),
  wait: unary<void, string>(),
  ticks: serverStream<void, number>(),
});
export const ADDRESS = 'tcp://127.0.0.1:0';

/** A node of Work at an address. */
export function workAt(id: string, address: string): ServiceNode {
  return {
    ...node(id),
    service: 'Work',
    group: '',
    version: '',
    protocol: 'json',
    address,
    metadata: {},
  };
}

/** A provider of Work whose `wait` and `ticks` wait for `wait`. */
export async function provideWork(
  registry: ReturnType<typeof memory>,
  id: string,
  wait: () => unknown = () => id,
) {
  const ticks = async function* (): AsyncGenerator<number> {
    for (let i = 0; ; i++) {
      yield i;
      await wait();
    }
  };
  return provide({
    registry,
    id,
    address: ADDRESS,
    services: [implement(Work, { getId: () => id, wait: async () => `${await wait()}`, ticks })],
  });
}

/** An address that accepts connections and never answers. */
export async function silentAddress() {
  let onConnection!: () => void;
  const connected = new Promise<void>((resolve) => {
    onConnection = resolve;
  });
  const server = createServer((socket) => {
    socket.on('error', () => {}).resume();
    onConnection();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    address: `tcp://127.0.0.1:${port}`,
    /** Resolves at the first connection. */
    connected,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
