/** What a simulation does with sockets, processes and threads of the system. */
import { fork, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import dns from 'node:dns';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as rpc from '../../../src/rpc/index.js';
import { simulate } from '../../../src/testing/simulation/index.js';
import { lines, serve } from '../../../src/transport/index.js';
import { until } from '../../fixtures/waiting.js';

const folder = mkdtempSync(join(tmpdir(), 'system-'));
const idle = join(folder, 'idle.mjs');
/** Accepts connections outside of the simulation. */
const real = net.createServer((socket) => socket.on('error', () => {}));
let realPort = 0;

beforeAll(async () => {
  writeFileSync(idle, 'setInterval(() => {}, 1000)');
  await new Promise<void>((resolve) => real.listen(0, '127.0.0.1', resolve));
  realPort = (real.address() as net.AddressInfo).port;
});
afterAll(() => {
  real.close();
  rmSync(folder, { recursive: true });
});

/** Handles of the system that keep the process alive, and that vitest has not. */
const openHandles = (): string[] =>
  process
    .getActiveResourcesInfo()
    .filter((type) => !/^(Timeout|Immediate|TTY.*|FS.*|CloseReq)$/.test(type))
    .sort();

const setup = { codec: lines(), listener: { onMessage() {} } };
const Greeter = rpc.contract('Greeter', { hello: rpc.unary<string, string>() });

test.each<[string, () => unknown]>([
  ['a server of the transport', () => serve('tcp://127.0.0.1:0', setup)],
  ['a server of rpc', () => rpc.serve('tcp://127.0.0.1:0', [])],
  ['a server at udp://', () => serve('udp://127.0.0.1:0', setup)],
  ['a server at a Unix socket', () => serve(`unix://${join(folder, 'socket')}`, setup)],
  ['a server of node:net', () => net.createServer().listen(0)],
  ['a server that looks its name up', () => net.createServer().listen(0, 'localhost')],
  ['a pipe of node:net', () => net.createServer().listen(join(folder, 'pipe'))],
  ['a client of rpc', () => rpc.connect(`tcp://127.0.0.1:${realPort}`)],
  [
    'a client that tries again for ever',
    async () => {
      for (;;)
        await rpc
          .connect(`tcp://127.0.0.1:${realPort}`)
          .then((client) => client.stub(Greeter).hello('Ann'))
          .catch(() => {});
    },
  ],
  ['a connection', () => net.connect(realPort, '127.0.0.1').write('x')],
  ['a connection that looks its name up', () => net.connect(realPort, 'localhost')],
  ['a DNS query', () => dns.resolve4('localhost', () => {})],
  ['a look-up of an address', () => dns.lookupService('127.0.0.1', realPort, () => {})],
  ['a request of node:http', () => http.get(`http://127.0.0.1:${realPort}`)],
  ['a connection that is refused', () => net.connect(1, '127.0.0.1')],
  ['a connection to a pipe', () => net.connect(join(folder, 'nothing'))],
  ['a connection with TLS', () => tls.connect(realPort, '127.0.0.1')],
  ['fetch()', () => fetch(`http://127.0.0.1:${realPort}`)],
  ['a datagram socket', () => dgram.createSocket('udp4').bind(0)],
  ['a datagram', () => dgram.createSocket('udp4').send('x', realPort, '127.0.0.1')],
  ['a child process', () => spawn('sleep', ['60']).stdin.write('x')],
  ['a process with a channel', () => fork(idle)],
  ['a thread', () => new Worker('setInterval(() => {}, 1000)', { eval: true })],
])('%s fails the simulation and is closed', async (_name, use) => {
  const before = openHandles();
  const run = simulate({}, async ({ clock }) => {
    await use();
    await clock.sleep('1m');
  });
  await expect(run).rejects.toMatchObject({
    code: 'SIMULATION_FAILED',
    message: expect.stringContaining('uses a socket, thread or process of the system'),
  });
  await until(
    () => openHandles().join() === before.join(),
    () => `${openHandles()} become ${before}`,
  );
});

test.each<[string, () => unknown, string]>([
  ['fetch()', () => fetch(`http://127.0.0.1:${realPort}`), 'TCP connection, such as of'],
  ['a name', () => fetch('http://name.invalid'), 'look-up of a host name'],
  ['a server', () => http.createServer().listen(0), 'TCP server'],
])('the message names the use, and what to use instead: %s', async (_name, use, named) => {
  const run = simulate({}, async ({ clock }) => {
    await use();
    await clock.sleep('1m');
  });
  const error = await run.catch((reason: Error) => reason);
  expect(error).toMatchObject({ message: expect.stringContaining(named) });
  expect(error).toMatchObject({ message: expect.stringContaining('sim://host:port') });
});
