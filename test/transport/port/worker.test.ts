/** Sessions with real worker threads. */
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { connect } from '../../../src/rpc/index.js';
import { lines, connect as open } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { LONG_TIMEOUT } from '../../fixtures/rpc.js';
import { GREETER_FILE, Greeter, parent } from '../../fixtures/thread-greeter.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, PROCESS_PATIENCE, within } from '../../fixtures/waiting.js';

noLeaks();

/** A worker that serves Greeter, and its exit. Its errors are not those of the test. */
function startWorker() {
  const worker = new Worker(GREETER_FILE, { stdout: true, stderr: true });
  const exited = gate<number>();
  worker.on('exit', (code) => exited.open(code));
  worker.on('error', () => {});
  return {
    worker,
    exited: exited.promise,
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}

const OPTIONS = {
  services: [parent],
  connectTimeout: PROCESS_PATIENCE,
  timeout: LONG_TIMEOUT,
  reconnect: false,
} as const;

it('calls a worker and is called by it, while the program uses the worker too', async () => {
  await using thread = startWorker();
  await using client = await connect({ port: thread.worker, name: 'greeter' }, OPTIONS);
  expect(client.address).toBe('port://greeter');
  const greeter = client.stub(Greeter);
  thread.worker.postMessage('a message of the program');
  const answers = await Promise.all(['ann', 'bob'].map((name) => greeter.hello(name)));
  expect(answers).toEqual([
    'hello ann, from a child of the parent of ann',
    'hello bob, from a child of the parent of bob',
  ]);
});

it('sends and receives large messages in order', async () => {
  await using thread = startWorker();
  await using client = await connect({ port: thread.worker }, OPTIONS);
  const long = 'x'.repeat(500_000);
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, i) => client.stub(Greeter).hello(`${i}${long}`)),
  );
  for (const [i, answer] of answers.entries())
    expect(answer === `hello ${i}${long}, from a child of the parent of ${i}${long}`).toBe(true);
});

it.each([
  ['exits', 'exit'],
  ['throws', 'throw'],
] as const)('closes with CONNECTION_LOST when the worker %s', async (_, how) => {
  await using thread = startWorker();
  await using client = await connect({ port: thread.worker }, OPTIONS);
  expect(await rejection(client.stub(Greeter).end(how))).toMatchObject({
    code: 'UNAVAILABLE',
    cause: { code: 'CONNECTION_LOST', message: expect.stringContaining('is closed') },
  });
  await within(thread.exited, 'the exit of the worker');
});

it('closes with CONNECTION_LOST when the worker is terminated', async () => {
  await using thread = startWorker();
  await using client = await connect({ port: thread.worker }, OPTIONS);
  const call = rejection(client.stub(Greeter).end('exit'));
  await thread.worker.terminate();
  expect(await call).toMatchObject({ code: 'UNAVAILABLE' });
});

it('rejects with CONNECT_FAILED when the worker has ended, or ends before it serves', async () => {
  const setup = { codec: lines(), listener: { onMessage() {} } };
  const worker = new Worker('process.exit(0)', { eval: true });
  const options = { connectTimeout: 300_000 };
  for (let attempt = 0; attempt < 2; attempt++)
    expect(await rejection(open({ port: worker }, setup, options))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('the worker has ended'),
    });
});

it('lets the worker end when its server is closed', async () => {
  const worker = new Worker(
    `import(${JSON.stringify(new URL('../../../dist/transport/index.js', import.meta.url).href)})
      .then(async ({ serve, lines }) => {
        const { parentPort } = require('node:worker_threads');
        const server = await serve({ port: parentPort }, {
          codec: lines(),
          listener: { onMessage: () => server.close() },
        });
      });`,
    { eval: true },
  );
  const exited = gate<number>();
  worker.on('exit', (code) => exited.open(code));
  const client = await open(
    { port: worker },
    { codec: lines(), listener: { onMessage() {} } },
    { reconnect: false, connectTimeout: PROCESS_PATIENCE },
  );
  (await client.session()).write('stop');
  expect(await within(exited.promise, 'the exit of the worker', PROCESS_PATIENCE)).toBe(0);
  await client.close();
});
