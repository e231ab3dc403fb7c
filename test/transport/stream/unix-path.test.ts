/** The file of a Unix socket: its creation, replacement, deletion, and the length of its path. */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import {
  answerAt,
  leaveStaleSocket,
  serveNamed,
  useSocketPath,
} from '../../fixtures/unix-endpoints.js';
import { turns, within } from '../../fixtures/waiting.js';

noLeaks();

const socket = useSocketPath();

describe('the file at the path', () => {
  it('is not replaced if it is not a socket', async () => {
    writeFileSync(socket.path, 'content');
    expect(await rejection(serveNamed('a', socket.address))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'EADDRINUSE' },
    });
    expect(readFileSync(socket.path, 'utf8')).toBe('content');
    expect(readdirSync(socket.directory)).toEqual(['s']);
  });

  it('is not replaced if it is a directory or a symbolic link', async () => {
    expect(await rejection(serveNamed('a', `unix://${socket.directory}`))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'EADDRINUSE' },
    });
    const target = join(socket.directory, 'target');
    await leaveStaleSocket(target);
    symlinkSync(target, socket.path);
    expect(await rejection(serveNamed('a', socket.address))).toMatchObject({
      code: 'LISTEN_FAILED',
    });
    expect(lstatSync(socket.path).isSymbolicLink()).toBe(true);
    expect(readdirSync(socket.directory).sort()).toEqual(['s', 'target']);
  });

  it('is replaced if it is the socket of a dead server', async () => {
    await leaveStaleSocket(socket.path);
    await using _server = await serveNamed('a', socket.address);
    expect(await answerAt(socket.address)).toBe('a: hello');
    expect(readdirSync(socket.directory)).toEqual(['s']);
  });

  it('is not replaced if it is the socket of a listening server', async () => {
    await using _first = await serveNamed('first', socket.address);
    expect(await rejection(serveNamed('second', socket.address))).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('another server'),
      cause: { code: 'EADDRINUSE' },
    });
    expect(await answerAt(socket.address)).toBe('first: hello');
    expect(readdirSync(socket.directory)).toEqual(['s']);
  });

  it.each([true, false])(
    'belongs to one of several servers that start at the same time (stale socket: %s)',
    async (hasStaleSocket) => {
      for (let round = 0; round < 10; round++) {
        if (hasStaleSocket) await leaveStaleSocket(socket.path);
        const names = Array.from({ length: 6 }, (_, i) => `server ${i}`);
        const outcomes = await Promise.allSettled(
          names.map((name) => serveNamed(name, socket.address)),
        );
        const listening = outcomes.flatMap((outcome, i) =>
          outcome.status === 'fulfilled' ? [{ name: names[i], server: outcome.value }] : [],
        );
        const codes = outcomes.flatMap((outcome) =>
          outcome.status === 'rejected' ? [outcome.reason.code] : [],
        );
        try {
          expect(listening.length).toBe(1);
          expect(codes).toEqual(Array.from({ length: 5 }, () => 'LISTEN_FAILED'));
          expect(await answerAt(socket.address)).toBe(`${listening[0]?.name}: hello`);
        } finally {
          await Promise.all(listening.map(({ server }) => server.close()));
        }
        expect(readdirSync(socket.directory)).toEqual([]);
      }
    },
  );

  it('is created after the lock of another process is released or too old', async () => {
    await leaveStaleSocket(socket.path);
    linkSync(socket.path, join(socket.directory, '.s.lock'));
    let settled = false;
    const serving = serveNamed('a', socket.address).finally(() => {
      settled = true;
    });
    await turns(50);
    expect(settled).toBe(false);
    const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
    try {
      await using _server = await within(serving, 'the server to listen');
    } finally {
      clock.mockRestore();
    }
    expect(readdirSync(socket.directory)).toEqual([]);
  });

  it('is not deleted at close() if another server has replaced it', async () => {
    const first = await serveNamed('first', socket.address);
    await using _second = await serveNamed('second', `unix://${socket.path}.new`);
    renameSync(`${socket.path}.new`, socket.path);
    await first.close();
    expect(await answerAt(socket.address)).toBe('second: hello');
  });

  it('is not deleted at close() if a file has replaced the socket', async () => {
    const server = await serveNamed('a', socket.address);
    rmSync(socket.path);
    writeFileSync(socket.path, 'content');
    await server.close();
    expect(readFileSync(socket.path, 'utf8')).toBe('content');
  });

  it('is deleted at close(), and may be missing then', async () => {
    const server = await serveNamed('a', socket.address);
    expect(existsSync(socket.path)).toBe(true);
    await server.stopListening();
    expect(existsSync(socket.path)).toBe(false);
    await server.close();
    const other = await serveNamed('b', socket.address);
    rmSync(socket.path);
    await other.close();
  });

  it('does not prevent close() if it cannot be deleted', async () => {
    mkdirSync(join(socket.directory, 'sub'));
    const address = `unix://${join(socket.directory, 'sub', 's')}`;
    const server = await serveNamed('a', address);
    // The directory is now a file, so that lstat() and unlink() fail.
    renameSync(join(socket.directory, 'sub'), join(socket.directory, 'moved'));
    writeFileSync(join(socket.directory, 'sub'), '');
    await within(server.close(), 'the server to close');
    expect(
      await rejection(answerAt(`unix://${join(socket.directory, 'moved', 's')}`)),
    ).toMatchObject({
      code: 'CONNECT_FAILED',
    });
  });

  it('cannot be created in a missing directory: LISTEN_FAILED with the cause', async () => {
    const missing = `unix://${join(socket.directory, 'missing', 's')}`;
    expect(await rejection(serveNamed('a', missing))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'ENOENT' },
    });
  });
});

describe('the path of a socket', () => {
  const limit = process.platform === 'linux' ? 107 : 103;
  const ofLength = (bytes: number): string =>
    join(socket.directory, 'x'.repeat(bytes - Buffer.byteLength(socket.directory) - 1));

  it('is BAD_ADDRESS above the size limit of the system', async () => {
    const address = `unix://${ofLength(limit + 1)}`;
    const expected = {
      code: 'BAD_ADDRESS',
      message: expect.stringContaining(`${limit + 1} bytes, expected at most ${limit}`),
    };
    expect(await rejection(serveNamed('a', address))).toMatchObject(expected);
    expect(await rejection(answerAt(address))).toMatchObject(expected);
    // The limit is in bytes, not in characters.
    expect(
      await rejection(serveNamed('a', `unix://${socket.directory}/${'é'.repeat(limit / 2)}`)),
    ).toMatchObject({ code: 'BAD_ADDRESS' });
    expect(readdirSync(socket.directory)).toEqual([]);
  });

  it('may be as long as the limit of the system', async () => {
    await using server = await serveNamed('a', `unix://${ofLength(limit)}`);
    expect(await answerAt(server.address)).toBe('a: hello');
  });

  it.runIf(process.platform === 'linux')(
    'may be almost as long as the limit, though the temporary path is longer',
    async () => {
      const subdirectory = ofLength(limit - 2);
      mkdirSync(subdirectory);
      const path = join(subdirectory, 's');
      const address = `unix://${path}`;
      await leaveStaleSocket(join(socket.directory, 'stale'));
      renameSync(join(socket.directory, 'stale'), path);
      await using _server = await serveNamed('a', address);
      expect(await answerAt(address)).toBe('a: hello');
      expect(readdirSync(subdirectory)).toEqual(['s']);
    },
  );

  it('is BAD_ADDRESS with a zero byte', async () => {
    expect(await rejection(serveNamed('a', `unix://${socket.path}\0x`))).toMatchObject({
      code: 'BAD_ADDRESS',
    });
    expect(readdirSync(socket.directory)).toEqual([]);
  });
});
