/** What is particular to Unix sockets: their files, and names that are no files. */
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  connect,
  lines,
  type Server,
  type ServerOptions,
  serve,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { turns, within } from '../../fixtures/waiting.js';

noLeaks();

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'getty-unix-'));
  path = join(directory, 's');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A server that answers each line with its name. */
function serveNamed(
  name: string,
  address = `unix://${path}`,
  options?: ServerOptions,
): Promise<Server<string>> {
  return serve(
    address,
    {
      codec: lines(),
      listener: { onMessage: (session, line) => session.write(`${name}: ${line}`) },
    },
    options,
  );
}

/** What the server at the address answers. */
async function answerAt(address = `unix://${path}`): Promise<string> {
  let answered: ((line: string) => void) | undefined;
  const answer = new Promise<string>((resolve) => {
    answered = resolve;
  });
  await using client = await connect(
    address,
    { codec: lines(), listener: { onMessage: (_, line) => answered?.(line) } },
    { reconnect: false },
  );
  (await client.session()).write('hello');
  return await within(answer, 'an answer');
}

/** A socket file whose server is gone, as a killed process leaves it. */
async function leaveStaleSocket(at = path): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${at}.dying`, resolve));
  // Node.js deletes the path that it knows.
  renameSync(`${at}.dying`, at);
  await new Promise((resolve) => server.close(resolve));
}

describe('the file at the path', () => {
  it('leaves a file that is no socket alone', async () => {
    writeFileSync(path, 'precious');
    expect(await rejection(serveNamed('a'))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'EADDRINUSE' },
    });
    expect(readFileSync(path, 'utf8')).toBe('precious');
    expect(readdirSync(directory)).toEqual(['s']);
  });

  it('leaves a directory and a symbolic link alone', async () => {
    expect(await rejection(serveNamed('a', `unix://${directory}`))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'EADDRINUSE' },
    });
    const target = join(directory, 'target');
    await leaveStaleSocket(target);
    symlinkSync(target, path);
    expect(await rejection(serveNamed('a'))).toMatchObject({ code: 'LISTEN_FAILED' });
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(readdirSync(directory).sort()).toEqual(['s', 'target']);
  });

  it('replaces a socket that a dead server left', async () => {
    await leaveStaleSocket();
    await using _server = await serveNamed('a');
    expect(await answerAt()).toBe('a: hello');
    expect(readdirSync(directory)).toEqual(['s']);
  });

  it('does not replace the socket of a server that listens', async () => {
    await using _first = await serveNamed('first');
    expect(await rejection(serveNamed('second'))).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('another server'),
      cause: { code: 'EADDRINUSE' },
    });
    expect(await answerAt()).toBe('first: hello');
    expect(readdirSync(directory)).toEqual(['s']);
  });

  it.each([true, false])(
    'lets one of many servers have the path when all begin at once (stale socket: %s)',
    async (stale) => {
      for (let round = 0; round < 10; round++) {
        if (stale) await leaveStaleSocket();
        const names = Array.from({ length: 6 }, (_, i) => `server ${i}`);
        const outcomes = await Promise.allSettled(names.map((name) => serveNamed(name)));
        const listening = outcomes.flatMap((outcome, i) =>
          outcome.status === 'fulfilled' ? [{ name: names[i], server: outcome.value }] : [],
        );
        const codes = outcomes.flatMap((outcome) =>
          outcome.status === 'rejected' ? [outcome.reason.code] : [],
        );
        try {
          expect(listening.length).toBe(1);
          expect(codes).toEqual(Array.from({ length: 5 }, () => 'LISTEN_FAILED'));
          expect(await answerAt()).toBe(`${listening[0]?.name}: hello`);
        } finally {
          await Promise.all(listening.map(({ server }) => server.close()));
        }
        expect(readdirSync(directory)).toEqual([]);
      }
    },
  );

  it('waits for the lock of another process, and takes a lock that a dead process left', async () => {
    await leaveStaleSocket();
    linkSync(path, join(directory, '.s.lock'));
    let settled = false;
    const serving = serveNamed('a').finally(() => {
      settled = true;
    });
    await turns(50);
    expect(settled).toBe(false);
    const later = Date.now() + 60_000;
    const clock = vi.spyOn(Date, 'now').mockReturnValue(later);
    try {
      await using _server = await within(serving, 'the server to listen');
    } finally {
      clock.mockRestore();
    }
    expect(readdirSync(directory)).toEqual([]);
  });

  it('does not delete the socket of a successor as it closes', async () => {
    const old = await serveNamed('old');
    await using _successor = await serveNamed('successor', `unix://${path}.new`);
    renameSync(`${path}.new`, path);
    await old.close();
    expect(await answerAt()).toBe('successor: hello');
  });

  it('does not delete a file that took the place of its socket', async () => {
    const server = await serveNamed('a');
    rmSync(path);
    writeFileSync(path, 'precious');
    await server.close();
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('deletes its own socket, and bears that it is gone already', async () => {
    const server = await serveNamed('a');
    expect(existsSync(path)).toBe(true);
    await server.stopListening();
    expect(existsSync(path)).toBe(false);
    await server.close();
    const other = await serveNamed('b');
    rmSync(path);
    await other.close();
  });

  it('closes also when it cannot delete its socket', async () => {
    mkdirSync(join(directory, 'sub'));
    const address = `unix://${join(directory, 'sub', 's')}`;
    const server = await serveNamed('a', address);
    // Its directory has become a file: neither lstat() nor unlink() can follow the path.
    renameSync(join(directory, 'sub'), join(directory, 'moved'));
    writeFileSync(join(directory, 'sub'), '');
    await within(server.close(), 'the server to close');
    expect(await rejection(answerAt(`unix://${join(directory, 'moved', 's')}`))).toMatchObject({
      code: 'CONNECT_FAILED',
    });
  });

  it('tells why a directory cannot be used', async () => {
    const missing = `unix://${join(directory, 'missing', 's')}`;
    expect(await rejection(serveNamed('a', missing))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'ENOENT' },
    });
  });
});

describe('the length of a path', () => {
  const limit = process.platform === 'linux' ? 107 : 103;
  const ofLength = (bytes: number): string =>
    join(directory, 'x'.repeat(bytes - Buffer.byteLength(directory) - 1));

  it('rejects a path over the limit of the system with BAD_ADDRESS', async () => {
    const address = `unix://${ofLength(limit + 1)}`;
    const expected = {
      code: 'BAD_ADDRESS',
      message: expect.stringContaining(`${limit + 1} bytes, expected at most ${limit}`),
    };
    expect(await rejection(serveNamed('a', address))).toMatchObject(expected);
    expect(await rejection(answerAt(address))).toMatchObject(expected);
    // Bytes, not characters.
    expect(
      await rejection(serveNamed('a', `unix://${directory}/${'é'.repeat(limit / 2)}`)),
    ).toMatchObject({ code: 'BAD_ADDRESS' });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('takes a path of exactly the limit', async () => {
    await using server = await serveNamed('a', `unix://${ofLength(limit)}`);
    expect(await answerAt(server.address)).toBe('a: hello');
  });

  it.runIf(process.platform === 'linux')(
    'takes a short name in a directory whose path is nearly as long as the limit',
    async () => {
      const deep = ofLength(limit - 2);
      mkdirSync(deep);
      path = join(deep, 's');
      await leaveStaleSocket(join(directory, 'stale'));
      renameSync(join(directory, 'stale'), path);
      await using _server = await serveNamed('a');
      expect(await answerAt()).toBe('a: hello');
      expect(readdirSync(deep)).toEqual(['s']);
    },
  );

  it('rejects a zero byte with BAD_ADDRESS', async () => {
    expect(await rejection(serveNamed('a', `unix://${path}\0x`))).toMatchObject({
      code: 'BAD_ADDRESS',
    });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('the options mode and group', () => {
  it.each([0o600, 0o660, 0o777])('gives the socket the mode %i', async (mode) => {
    const group = process.getgid?.() as number;
    await using _server = await serveNamed('a', undefined, { unix: { mode, group } });
    const { mode: actual, gid } = lstatSync(path);
    expect([actual & 0o777, gid]).toEqual([mode, group]);
    expect(await answerAt()).toBe('a: hello');
  });

  it.runIf(process.getuid?.() === 0)('gives the socket to another group', async () => {
    await using _server = await serveNamed('a', undefined, { unix: { group: 4242 } });
    expect(lstatSync(path).gid).toBe(4242);
  });

  it.runIf(process.getuid?.() !== 0)(
    'tells that a group is not allowed, and leaves no file',
    async () => {
      chmodSync(directory, 0o700);
      expect(await rejection(serveNamed('a', undefined, { unix: { group: 0 } }))).toMatchObject({
        code: 'LISTEN_FAILED',
        cause: { code: 'EPERM' },
      });
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  it.each<[unknown, string]>([
    ['rw', 'unix: given "rw"'],
    [{ mode: '600' }, 'unix.mode: given "600"'],
    [{ mode: 0o1777 }, 'unix.mode: given 1023'],
    [{ mode: 1.5 }, 'unix.mode: given 1.5'],
    [{ group: 'staff' }, 'unix.group: given "staff"'],
    [{ modes: 0o600 }, 'did you mean mode?'],
  ])('rejects %o', async (unix, message) => {
    const error = await rejection(serveNamed('a', undefined, { unix: unix as never }));
    expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringContaining(message) });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe.runIf(process.platform === 'linux')('names that are no files', () => {
  const name = (): string => `unix://@getty/test:${process.pid}`;

  it('serves and connects, and the name is free when the server is closed', async () => {
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

  it('is taken by one server at a time', async () => {
    await using _server = await serveNamed('a', name());
    expect(await rejection(serveNamed('b', name()))).toMatchObject({
      code: 'LISTEN_FAILED',
      cause: { code: 'EADDRINUSE' },
    });
  });

  it('has a limit, and neither mode nor group', async () => {
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
