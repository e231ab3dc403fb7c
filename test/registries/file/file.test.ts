/**
 * The file registry: files, expiry, outages and killed processes. The behavior of all registries is
 * in behaviour.test.ts.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import {
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { entryPath, entryValue, parseEntry } from '../../../src/micro/registry-entry.js';
import type { Registry, ServiceNode } from '../../../src/micro/types.js';
import { file } from '../../../src/registries/file/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { isPending, Log, node, putFile, Watching } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, PROCESS_PATIENCE, until, within } from '../../fixtures/waiting.js';

/** Long enough that a busy machine does not miss a heartbeat, short enough to wait for. */
const TTL = 1_200;
const SCRIPT = fileURLToPath(new URL('../../fixtures/file-provider.mjs', import.meta.url));
const VECTORS: { path: string; value: string }[] = readFileSync(
  new URL('../../fixtures/vectors/registry.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

describe('the file registry', () => {
  noLeaks();
  noTimersLeft();
  let base: string;
  let directory: string;
  let registries: Registry[] = [];
  let children: ChildProcess[] = [];

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'getty-file-'));
    directory = join(base, 'registry');
  });
  afterEach(async () => {
    for (const registry of registries) await registry[Symbol.asyncDispose]();
    for (const child of children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    registries = [];
    children = [];
    await rm(base, { recursive: true, force: true });
  });

  function open(log?: Log, ttl = TTL): Registry {
    const registry = file(directory, { ttl, pollInterval: 10, logger: log });
    registries.push(registry);
    return registry;
  }

  const pathOf = (given: ServiceNode): string => entryPath(directory, given);

  async function start(given: ServiceNode): Promise<ChildProcess> {
    const child = spawn(process.execPath, [SCRIPT, directory, `${TTL}`, JSON.stringify(given)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    await within(
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      'the provider process',
      PROCESS_PATIENCE,
    );
    return child;
  }

  it("writes Go's entries byte for byte, and deletes them at once", async () => {
    const registry = open();
    for (const { path, value } of VECTORS) {
      const registration = await registry.register(parseEntry(path, value));
      const written = join(directory, path.replace('/getty-micro', ''));
      expect(readFileSync(written, 'utf8')).toBe(value);
      await registration[Symbol.asyncDispose]();
      expect(existsSync(written)).toBe(false);
    }
    expect((await readdir(directory)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('a watch waits for a missing directory and logs this once', async () => {
    const log = new Log();
    await using watch = new Watching(open(log));
    const first = watch.next();
    await log.said('is not there');
    expect(await isPending(first)).toBe(true);
    await open().register(node('a'));
    if ((await first)?.length === 0) await watch.ids('a');
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('keeps the last list while the directory is missing, and publishes the entries again when it is back', async () => {
    const log = new Log();
    await using watch = new Watching(open(log));
    await open().register(node('a'));
    const leaving = await open().register(node('b'));
    await watch.ids('a', 'b');
    const next = watch.next();
    await rename(directory, `${directory}-away`);
    await log.said('is not there');
    await log.said('the directory is there');
    await leaving[Symbol.asyncDispose]();
    expect((await within(next, 'the list after the outage'))?.map(({ id }) => id)).toEqual(['a']);
    expect(log.lines.length).toBe(2);
  });

  it('the next heartbeat writes a deleted file again', async () => {
    const log = new Log();
    await open(log).register(node('a'));
    await unlink(pathOf(node('a')));
    await log.said('published the entry again');
    expect(readFileSync(pathOf(node('a')), 'utf8')).toBe(entryValue(node('a')));
  });

  it('logs a failed heartbeat once, and publishes the entry again', async () => {
    const log = new Log();
    await open(log).register(node('a'));
    await rename(directory, `${directory}-away`);
    await writeFile(directory, 'in the way');
    await log.said('cannot be kept alive');
    // Wait for several heartbeats.
    await elapse(TTL / 2);
    expect(log.lines.length).toBe(1);
    await unlink(directory);
    await log.said('published the entry again');
  });

  it('register() rejects with the cause if the directory is not writable', async () => {
    await writeFile(directory, 'a file');
    const registry = open();
    await expect(registry.register(node('a'))).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      cause: { code: 'ENOTDIR' },
    });
    await unlink(directory);
    await registry.register(node('a'));
    expect(existsSync(pathOf(node('a')))).toBe(true);
  });

  it('ignores files whose time is past or future, and deletes old files and old temporary files', async () => {
    const place = async (path: string, age: number): Promise<string> => {
      await putFile(path, entryValue(node('a')));
      await utimes(path, (Date.now() - age) / 1000, (Date.now() - age) / 1000);
      return path;
    };
    const stale = await place(pathOf(node('stale')), TTL * 5);
    const ahead = await place(pathOf(node('ahead')), -TTL * 5);
    const dead = await place(pathOf(node('dead')), TTL * 11);
    const left = await place(join(directory, '.getty-left'), TTL * 11);
    const young = await place(join(directory, '.getty-young'), 0);
    const foreign = await place(join(directory, '.foreign'), TTL * 11);
    await using watch = new Watching(open());
    await watch.ids();
    // The clock alone must not delete files, because it may have jumped.
    await until(
      () => [dead, left].every((path) => !existsSync(path)),
      'the removal of what is dead',
      TTL * 20,
    );
    expect([stale, ahead, young, foreign].filter((path) => !existsSync(path))).toEqual([]);
  });

  it('skips entries that are not regular files', async () => {
    const log = new Log();
    const registry = open(undefined, 60_000);
    await registry.register(node('a'));
    const inside = (name: string): string => pathOf(node(name));
    await mkdir(inside('folder'));
    await symlink(pathOf(node('a')), inside('link'));
    execFileSync('mkfifo', [inside('pipe')]);
    await writeFile(join(directory, 'README'), 'not a directory');
    await using watch = new Watching(open(log, 60_000));
    await watch.ids('a');
    await registry.register(node('b'));
    await watch.ids('a', 'b');
    for (const name of ['folder', 'link', 'pipe', 'README'])
      expect([name, log.having(name).length]).toEqual([name, 1]);
  });

  it('a reader never reads a partial value', async () => {
    const log = new Log();
    await mkdir(directory);
    await using watch = new Watching(open(log, 60_000));
    await watch.ids();
    const registry = open(undefined, 60_000);
    for (let size = 1; size <= 40; size++)
      await registry.register(
        node('a', { metadata: { size: `${size}`, fill: 'x'.repeat(size * 1000) } }),
      );
    await watch.until(([first]) => first?.metadata.size === '40', 'the last value');
    expect(log.lines).toEqual([]);
  });

  it('the entry of a killed process is gone after its ttl', async () => {
    await using watch = new Watching(open());
    const child = await start(node('a'));
    await watch.ids('a');
    child.kill('SIGKILL');
    await watch.ids();
  });

  it('the entry of a stopped process is gone, and is back when the process continues', async () => {
    await using watch = new Watching(open());
    const child = await start(node('a'));
    await watch.ids('a');
    child.kill('SIGSTOP');
    await watch.ids();
    child.kill('SIGCONT');
    await watch.ids('a');
  });

  it('leaves an entry alone after another process took it over, and publishes it again when that process is gone', async () => {
    const log = new Log();
    const [mine, other] = [
      node('a', { address: 'tcp://127.0.0.1:1' }),
      node('a', { address: 'tcp://127.0.0.1:2' }),
    ];
    await open(log).register(mine);
    await using watch = new Watching(open());
    await watch.ids('a');
    const child = await start(other);
    await watch.until(([first]) => first?.address === other.address, 'the other');
    await log.said('another process has published this entry');
    child.kill('SIGKILL');
    await watch.until(([first]) => first?.address === mine.address, 'the first again');
    expect(log.having('another process').length).toBe(1);
    // When the newer process closes, the list lacks the node for a few scans at most.
    const second = await open().register(other);
    await watch.until(([first]) => first?.address === other.address, 'the other again');
    await log.said('another process', 2);
    await second[Symbol.asyncDispose]();
    await watch.until(([first]) => first?.address === mine.address, 'the first once more');
  });

  it('a restart within the ttl replaces the entry of the killed process', async () => {
    await using watch = new Watching(open());
    const child = await start(node('a', { address: 'tcp://127.0.0.1:1' }));
    await watch.ids('a');
    child.kill('SIGKILL');
    await start(node('a', { address: 'tcp://127.0.0.1:2' }));
    await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the new life');
    expect(watch.seen.filter((ids) => ids.length > 1)).toEqual([]);
  });

  it('neither a registration nor a watch keeps a process alive', async () => {
    const child = await start(node('a'));
    child.stdin?.end();
    const [code] = await within(once(child, 'exit'), 'the end of the process');
    expect(code).toBe(0);
  });

  it('rejects invalid options', () => {
    for (const options of [{ ttl: 1 }, { ttl: Number.NaN }, { pollInterval: 0 }]) {
      expect(() => file(directory, options)).toThrowError(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
    }
    expect(() => file('')).toThrowError(expect.objectContaining({ code: 'BAD_OPTION' }));
  });

  it.each([-3_600_000, -3_000, 3_000, 3_600_000])(
    'keeps living nodes in the lists when the clock jumps by %i ms',
    async (jump) => {
      await using watch = new Watching(open());
      await open().register(node('a'));
      const child = await start(node('b'));
      await watch.ids('a', 'b');
      const next = watch.next();
      const now = Date.now;
      vi.spyOn(Date, 'now').mockImplementation(() => now() + jump);
      try {
        await elapse(TTL * 2);
        // A new reader has no earlier version, so it lists the nodes at their next heartbeats.
        await using later = new Watching(open());
        await later.ids('a', 'b');
        await elapse(TTL * 2);
        expect(await isPending(next)).toBe(true);
        child.kill('SIGKILL');
        expect(
          (await within(next, 'the list without the killed node'))?.map(({ id }) => id),
        ).toEqual(['a']);
      } finally {
        vi.restoreAllMocks();
      }
    },
  );

  it('register() rejects with the reason if the disk is full, and leaves no file behind', async () => {
    // The limit of file sizes makes writes fail as on a full disk.
    const limited = spawn(
      '/bin/sh',
      [
        '-c',
        `ulimit -f 0; trap '' XFSZ; exec "$@"`,
        'sh',
        process.execPath,
        SCRIPT,
        directory,
        `${TTL}`,
        JSON.stringify(node('b')),
      ],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    children.push(limited);
    let text = '';
    limited.stderr?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    await within(once(limited, 'exit'), 'the end of the provider');
    expect(text).toContain('cannot write the entry');
    expect(text).toContain('EFBIG');
    expect((await readdir(directory)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('an entry stays alive for longer than its ttl', async () => {
    await using watch = new Watching(open());
    await open().register(node('a'));
    await watch.ids('a');
    const next = watch.next();
    // The test waits for time to pass.
    await elapse(TTL * 1.5);
    expect(await isPending(next)).toBe(true);
  });
});
