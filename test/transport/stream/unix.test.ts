/** The options of Unix sockets, and abstract names. */
import { chmodSync, lstatSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { answerAt, serveNamed, useSocketPath } from '../../fixtures/unix-endpoints.js';

noLeaks();

const socket = useSocketPath();

describe('unix.mode and unix.group', () => {
  it.each([0o600, 0o660, 0o777, 0, -0])('set the mode %i of the socket', async (mode) => {
    const group = process.getgid?.() as number;
    await using _server = await serveNamed('a', socket.address, { unix: { mode, group } });
    const { mode: actual, gid } = lstatSync(socket.path);
    expect([actual & 0o777, gid]).toEqual([mode + 0, group]);
    expect(await answerAt(socket.address)).toBe('a: hello');
  });

  it.runIf(process.getuid?.() === 0)('set the group of the socket', async () => {
    await using _server = await serveNamed('a', socket.address, { unix: { group: 4242 } });
    expect(lstatSync(socket.path).gid).toBe(4242);
  });

  it.runIf(process.getuid?.() !== 0)(
    'reject with LISTEN_FAILED if the system does not permit the group, and leave no file',
    async () => {
      chmodSync(socket.directory, 0o700);
      expect(
        await rejection(serveNamed('a', socket.address, { unix: { group: 0 } })),
      ).toMatchObject({
        code: 'LISTEN_FAILED',
        cause: { code: 'EPERM' },
      });
      expect(readdirSync(socket.directory)).toEqual([]);
    },
  );

  it.each<[unknown, string]>([
    ['rw', 'unix: got "rw"'],
    [{ mode: '600' }, 'unix.mode: got "600"'],
    [{ mode: 0o1777 }, 'unix.mode: got 1023'],
    [{ mode: 1.5 }, 'unix.mode: got 1.5'],
    [{ group: 'staff' }, 'unix.group: got "staff"'],
    [{ modes: 0o600 }, 'did you mean mode?'],
  ])('are BAD_OPTION with the value %o', async (unix, message) => {
    const error = await rejection(serveNamed('a', socket.address, { unix: unix as never }));
    expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringContaining(message) });
    expect(readdirSync(socket.directory)).toEqual([]);
  });
});

describe.runIf(process.platform === 'linux')('an abstract name', () => {
  const name = (): string => `unix://@getty/test:${process.pid}`;

  it('is an address of servers and clients, and is free when the server is closed', async () => {
    for (let round = 0; round < 2; round++) {
      await using server = await serveNamed('a', name());
      expect(server.address).toBe(name());
      expect(await answerAt(name())).toBe('a: hello');
    }
    expect(await rejection(answerAt(name()))).toMatchObject({
      code: 'CONNECT_FAILED',
      cause: { code: 'ECONNREFUSED' },
    });
  });

  it('belongs to one server at a time', async () => {
    await using _server = await serveNamed('a', name());
    expect(await rejection(serveNamed('b', name()))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'EADDRINUSE' },
    });
  });

  it('has at most 107 bytes, and neither mode nor group', async () => {
    await using longest = await serveNamed('a', `unix://@${'x'.repeat(107)}`);
    expect(await answerAt(longest.address)).toBe('a: hello');
    expect(await rejection(serveNamed('a', `unix://@${'x'.repeat(108)}`))).toMatchObject({
      code: 'BAD_ADDRESS',
    });
    expect(await rejection(serveNamed('a', 'unix://@'))).toMatchObject({ code: 'BAD_ADDRESS' });
    expect(await rejection(serveNamed('a', name(), { unix: { mode: 0o600 } }))).toMatchObject({
      code: 'BAD_OPTION',
    });
  });
});
