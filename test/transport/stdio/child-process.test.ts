/** Sessions with real child processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import { connect } from '../../../src/rpc/index.js';
import { connect as open, raw } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { LONG_TIMEOUT, Log } from '../../fixtures/rpc.js';
import { GREETER_FILE, Greeter, parent } from '../../fixtures/thread-greeter.js';
import { rejection } from '../../fixtures/transports.js';
import { PROCESS_PATIENCE, within } from '../../fixtures/waiting.js';

noLeaks();

interface Child extends AsyncDisposable {
  readonly child: ChildProcess;
  /** The exit code, or the signal that has ended the process. */
  readonly exited: Promise<number | string | null>;
}

function start(...args: string[]): Child {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = new Promise<number | string | null>((resolve) =>
    child.on('close', (code, signal) => resolve(signal ?? code)),
  );
  return {
    child,
    exited: within(exited, 'the exit of the child', PROCESS_PATIENCE * 5),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

const OPTIONS = { services: [parent], timeout: LONG_TIMEOUT } as const;

it('calls a child and is called by it; the child ends when the session is closed', async () => {
  await using greeter = start(GREETER_FILE);
  const { child, exited } = greeter;
  const client = await connect({ stdio: child }, OPTIONS);
  expect(client.address).toBe(`stdio://${child.pid}`);
  const answers = await Promise.all(['ann', 'bob'].map((name) => client.stub(Greeter).hello(name)));
  expect(answers).toEqual([
    'hello ann, from a child of the parent of ann',
    'hello bob, from a child of the parent of bob',
  ]);
  const long = 'x'.repeat(300_000);
  expect((await client.stub(Greeter).hello(long)).length).toBe(600_038);
  await client.close();
  expect(await exited).toBe(0);
});

it.each([
  ['that it has read', 10, "data.includes('hello')"],
  // So much is not sent before the answer to the first heartbeat.
  ['that waits to be sent', 500_000, 'true'],
])('fails a call %s at once when the child exits with 0', async (_, length, condition) => {
  const program = `process.stdin.on('data', (data) => ${condition} && process.exit(0))`;
  await using exiting = start('-e', program);
  await using client = await connect(
    { stdio: exiting.child },
    {
      timeout: LONG_TIMEOUT,
      heartbeatTimeout: LONG_TIMEOUT,
      session: { waitTime: LONG_TIMEOUT },
    },
  );
  expect(await rejection(client.stub(Greeter).hello('x'.repeat(length)))).toMatchObject({
    code: 'UNAVAILABLE',
  });
});

it('closes with CONNECTION_LOST when the child exits with an error', async () => {
  await using greeter = start(GREETER_FILE);
  await using client = await connect({ stdio: greeter.child }, OPTIONS);
  expect(await rejection(client.stub(Greeter).end('exit'))).toMatchObject({
    code: 'UNAVAILABLE',
    cause: {
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('the child process exited with code 3'),
    },
  });
});

it('closes with CONNECTION_LOST when a signal ends the child', async () => {
  await using greeter = start(GREETER_FILE);
  await using client = await connect({ stdio: greeter.child }, OPTIONS);
  await client.stub(Greeter).hello('ann');
  const call = rejection(client.stub(Greeter).end('throw'));
  greeter.child.kill('SIGKILL');
  expect(await call).toMatchObject({ code: 'UNAVAILABLE', cause: { code: 'CONNECTION_LOST' } });
});

it('closes with BAD_FRAME, which quotes the text, when the child prints to stdout', async () => {
  await using greeter = start(GREETER_FILE);
  const logger = new Log('the client');
  await using client = await connect({ stdio: greeter.child }, { ...OPTIONS, logger });
  expect(await rejection(client.stub(Greeter).end('print'))).toMatchObject({
    code: 'UNAVAILABLE',
    cause: {
      code: 'BAD_FRAME',
      message: expect.stringContaining('the bytes are the text "an old habit"'),
    },
  });
});

it('blocks for a child that does not read, and loses the session when it is killed', async () => {
  await using silent = start('--eval', 'setInterval(() => {}, 1_000)');
  const events = new Recorder<Buffer, Uint8Array>('the parent');
  const setup = { codec: raw(), listener: events, maxQueuedBytes: 1024 * 1024 };
  await using client = await open({ stdio: silent.child }, setup);
  const session = await client.session();
  const chunk = new Uint8Array(64 * 1024);
  const blocked = (): unknown => {
    try {
      while (session.write(chunk) || session.queuedBytes > 0);
      return undefined;
    } catch (error) {
      return error;
    }
  };
  expect(blocked()).toMatchObject({ code: 'SESSION_BLOCKED' });
  const sending = rejection(session.send(chunk, { timeout: 300_000 }));
  expect((await sending) as unknown).toMatchObject({ code: 'SESSION_BLOCKED' });
  silent.child.kill('SIGKILL');
  expect(await events.errors.next()).toMatchObject({ code: 'CONNECTION_LOST' });
  await events.closed.next();
});

it('rejects with CONNECT_FAILED for a process that was not started or has exited', async () => {
  const setup = { codec: raw(), listener: { onMessage() {} } };
  const missing = spawn('/no/such/program', { stdio: 'pipe' });
  missing.on('error', () => {});
  expect(await rejection(open({ stdio: missing }, setup))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('the child process was not started'),
  });
  await using done = start('--eval', '0');
  await done.exited;
  expect(await rejection(open({ stdio: done.child }, setup))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('the child process exited with code 0'),
  });
});

it('rejects with BAD_OPTION for a child without pipes', async () => {
  const setup = { codec: raw(), listener: { onMessage() {} } };
  const child = spawn(process.execPath, ['--eval', '0'], { stdio: 'ignore' });
  await new Promise((resolve) => child.on('exit', resolve));
  expect(await rejection(open({ stdio: child }, setup))).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining('a ChildProcess whose stdin and stdout are pipes'),
  });
});
