/**
 * The file registry: files, missing directories and invalid entries. behavior.test.ts has the
 * behavior of all registries.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, rename, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { entryValue, parseEntry } from '../../../src/micro/registry-entry.js';
import { file } from '../../../src/registries/file/index.js';
import {
  isPending,
  node,
  putFile,
  RecordingLogger,
  WatchReader,
} from '../../fixtures/registries.js';
import { elapse, until, within } from '../../fixtures/waiting.js';
import { RECORDED_ENTRIES } from '../recorded-entries.js';
import { directory, open, pathOf, TTL, useDirectory } from './directory.js';

describe('the file registry', () => {
  useDirectory();

  it("writes Go's entries byte for byte, and deletes them at once", async () => {
    const registry = open();
    for (const { path, value } of RECORDED_ENTRIES) {
      const registration = await registry.register(parseEntry(path, value));
      const written = join(directory, path.replace('/getty-micro', ''));
      expect(readFileSync(written, 'utf8')).toBe(value);
      await registration[Symbol.asyncDispose]();
      expect(existsSync(written)).toBe(false);
    }
    expect((await readdir(directory)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('touches an entry in each second turn of the event loop while each turn takes long', async () => {
    await using registry = file(directory, { ttl: 400 });
    await registry.register(node('a'));
    const path = pathOf(node('a'));
    let { mtimeMs } = statSync(path);
    let turns = 0;
    let most = 0;
    for (let turn = 0; turn < 30; turn++) {
      // A handler that computes for more than the time between two heartbeats.
      for (const start = performance.now(); performance.now() - start < 110; );
      await new Promise((resolve) => setImmediate(resolve));
      const touched = statSync(path).mtimeMs;
      turns = touched === mtimeMs ? turns + 1 : 0;
      mtimeMs = touched;
      most = Math.max(most, turns);
    }
    expect(most).toBeLessThan(4);
  });

  it('tells that an entry that cannot be deleted is left, until it has expired', async () => {
    const registration = await open(new RecordingLogger()).register(node('a'));
    await rename(directory, `${directory}-away`);
    await writeFile(directory, 'no directory');
    await registration[Symbol.asyncDispose]();
    expect(registration.isRemoved).toBe(false);
    await until(() => registration.isRemoved === true, 'the entry has expired');
  });

  it('starts a watch when a missing directory is created, and logs the missing directory once', async () => {
    const log = new RecordingLogger();
    await using watch = new WatchReader(open(log));
    const first = watch.next();
    await log.waitFor('is not there');
    expect(await isPending(first)).toBe(true);
    await open().register(node('a'));
    if ((await first)?.length === 0) await watch.ids('a');
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('keeps the last list while the directory is missing, and publishes the entries again when it is back', async () => {
    const log = new RecordingLogger();
    await using watch = new WatchReader(open(log));
    await open().register(node('a'));
    const leaving = await open().register(node('b'));
    await watch.ids('a', 'b');
    const next = watch.next();
    await rename(directory, `${directory}-away`);
    await log.waitFor('is not there');
    await log.waitFor('the directory is there');
    await leaving[Symbol.asyncDispose]();
    expect((await within(next, 'the list after the outage'))?.map(({ id }) => id)).toEqual(['a']);
    expect(log.lines.length).toBe(2);
  });

  it('keeps the last list if another directory replaces the directory between two reads', async () => {
    const [old, next] = [`${directory}-old`, `${directory}-new`];
    await mkdir(old);
    await mkdir(next);
    await symlink(old, directory);
    const log = new RecordingLogger();
    await open(log).register(node('b'));
    await using watch = new WatchReader(open());
    await watch.ids('b');
    const changed = watch.next();
    await symlink(next, `${directory}-link`);
    await rename(`${directory}-link`, directory);
    await log.waitFor('published the entry again');
    await elapse(TTL / 4);
    expect(await isPending(changed)).toBe(true);
  });

  it('writes a deleted file again with the next heartbeat', async () => {
    const log = new RecordingLogger();
    await open(log).register(node('a'));
    await unlink(pathOf(node('a')));
    await log.waitFor('published the entry again');
    expect(readFileSync(pathOf(node('a')), 'utf8')).toBe(entryValue(node('a')));
  });

  it('writes a damaged file again with the next heartbeat', async () => {
    const log = new RecordingLogger();
    const value = entryValue(node('a'));
    await open(log).register(node('a'));
    for (const damaged of ['', `x${value.slice(1)}`]) {
      await writeFile(pathOf(node('a')), damaged);
      await until(
        () => readFileSync(pathOf(node('a')), 'utf8') === value,
        'the entry is written again',
      );
    }
    await log.waitFor('published the entry again');
  });

  it('logs a failed heartbeat once, and publishes the entry again', async () => {
    const log = new RecordingLogger();
    await open(log).register(node('a'));
    await rename(directory, `${directory}-away`);
    await writeFile(directory, 'a file instead of the directory');
    await log.waitFor('cannot be kept alive');
    // Several heartbeats fail in this time.
    await elapse(TTL / 2);
    expect(log.lines.length).toBe(1);
    await unlink(directory);
    await log.waitFor('published the entry again');
  });

  it('rejects register() with the cause if the directory is not writable', async () => {
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

  it('ignores files whose time is past or future, and deletes old entries and temporary files', async () => {
    const writeAged = async (path: string, age: number, value = 'a file'): Promise<string> => {
      await putFile(path, value);
      await utimes(path, (Date.now() - age) / 1000, (Date.now() - age) / 1000);
      return path;
    };
    const stale = await writeAged(pathOf(node('stale')), TTL * 5, entryValue(node('stale')));
    const ahead = await writeAged(pathOf(node('ahead')), -TTL * 5, entryValue(node('ahead')));
    const dead = await writeAged(pathOf(node('dead')), TTL * 11, entryValue(node('dead')));
    const noEntry = await writeAged(pathOf(node('no-entry')), TTL * 11);
    const left = await writeAged(join(directory, '.getty-left'), TTL * 11);
    const recent = await writeAged(join(directory, '.getty-recent'), 0);
    const foreign = await writeAged(join(directory, '.foreign'), TTL * 11);
    await using watch = new WatchReader(open());
    await watch.ids();
    // A file is deleted only after it stayed unchanged for a while, because the clock can jump.
    await until(
      () => [dead, left].every((path) => !existsSync(path)),
      'the old files are deleted',
      TTL * 20,
    );
    const kept = [stale, ahead, noEntry, recent, foreign];
    expect(kept.filter((path) => !existsSync(path))).toEqual([]);
  });

  it('skips entries that are not regular files', async () => {
    const log = new RecordingLogger();
    const registry = open(undefined, 60_000);
    await registry.register(node('a'));
    const inside = (name: string): string => pathOf(node(name));
    await mkdir(inside('folder'));
    await symlink(pathOf(node('a')), inside('link'));
    execFileSync('mkfifo', [inside('pipe')]);
    await writeFile(join(directory, 'README'), 'not a directory');
    await using watch = new WatchReader(open(log, 60_000));
    await watch.ids('a');
    await registry.register(node('b'));
    await watch.ids('a', 'b');
    for (const name of ['folder', 'link', 'pipe', 'README'])
      expect([name, log.linesWith(name).length]).toEqual([name, 1]);
  });

  it('never reads a partial value', async () => {
    const log = new RecordingLogger();
    await mkdir(directory);
    await using watch = new WatchReader(open(log, 60_000));
    await watch.ids();
    const registry = open(undefined, 60_000);
    for (let size = 1; size <= 40; size++)
      await registry.register(
        node('a', { metadata: { size: `${size}`, fill: 'x'.repeat(size * 1000) } }),
      );
    await watch.until(([first]) => first?.metadata.size === '40', 'the last value');
    expect(log.lines).toEqual([]);
  });

  it('reports up to a thousand of many files that are no entries, once', async () => {
    await mkdir(directory, { recursive: true });
    const names = Array.from({ length: 1_500 }, (_, i) => join(directory, `junk${i}`));
    for (const name of names) writeFileSync(name, '');
    const log = new RecordingLogger();
    const registry = open(log);
    await registry.register(node('a'));
    for (let scan = 0; scan < 3; scan++) expect(await registry.list()).toEqual([node('a')]);
    expect(log.linesWith('skipped an invalid entry')).toHaveLength(1_000);
    expect(log.lines).toHaveLength(1_001);
    for (const name of names) unlinkSync(name);
    await registry.list();
    writeFileSync(join(directory, 'junk0'), '');
    await registry.list();
    expect(log.lines).toHaveLength(1_002);
  });

  it('skips entries over maxEntries with one log line, and adds them when there is room', async () => {
    const log = new RecordingLogger();
    const registry = open();
    const registrations = [];
    for (let i = 0; i < 12; i++) registrations.push(await registry.register(node(`n${i}`)));
    await using limited = file(directory, { pollInterval: 10, maxEntries: 10, logger: log });
    await using watch = new WatchReader(limited);
    expect((await watch.next())?.length).toBe(10);
    expect((await limited.list()).length).toBe(10);
    expect(log.linesWith('the cache is full').length).toBe(1);
    for (const registration of registrations.slice(0, 4)) await registration[Symbol.asyncDispose]();
    await watch.until(({ length }) => length === 8, 'the eight remaining nodes');
  });

  it('counts the texts of entries for maxBytes', async () => {
    const log = new RecordingLogger();
    const registry = open();
    const metadata = { fill: 'x'.repeat(50_000) };
    for (let i = 0; i < 10; i++) await registry.register(node(`n${i}`, { metadata }));
    await using limited = file(directory, { maxBytes: 350_000, logger: log });
    expect((await limited.list()).length).toBe(3);
    expect(log.linesWith('the cache is full').length).toBe(1);
  });

  it('warns of an invalid entry once without a logger', async () => {
    const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const registry = file(directory, { ttl: TTL });
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, 'junk'), '');
      for (let scan = 0; scan < 2; scan++) await registry.list();
      expect(emitted).toHaveBeenCalledExactlyOnceWith(
        expect.objectContaining({
          code: 'REGISTRY_FAILED',
          message: expect.stringContaining('its attributes name no service'),
        }),
      );
      await registry[Symbol.asyncDispose]();
    } finally {
      emitted.mockRestore();
    }
  });

  it('reads few of many names in one turn, and each only once', async () => {
    await mkdir(directory, { recursive: true });
    for (let i = 0; i < 640; i++) writeFileSync(join(directory, `junk${i}`), '');
    const registry = open(new RecordingLogger());
    let now = performance.now();
    // Each look at the clock takes 5 ms, as if each name took long.
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 5));
    const parsed = vi.spyOn(globalThis, 'decodeURIComponent');
    try {
      let isDone = false;
      const listed = registry.list().finally(() => {
        isDone = true;
      });
      let most = 0;
      for (let before = 0; !isDone; before = parsed.mock.calls.length) {
        await new Promise(setImmediate);
        most = Math.max(most, parsed.mock.calls.length - before);
      }
      expect(await listed).toEqual([]);
      expect(most).toBeLessThan(200);
      const { length } = parsed.mock.calls;
      expect(length).toBeGreaterThanOrEqual(640);
      await registry.list();
      expect(parsed.mock.calls).toHaveLength(length);
    } finally {
      clock.mockRestore();
      parsed.mockRestore();
    }
  });

  it('rejects invalid options', () => {
    for (const options of [{ ttl: 1 }, { ttl: Number.NaN }, { pollInterval: 0 }]) {
      expect(() => file(directory, options)).toThrowError(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
    }
    expect(() => file('')).toThrowError(expect.objectContaining({ code: 'BAD_OPTION' }));
  });

  it('keeps an entry for longer than its ttl', async () => {
    await using watch = new WatchReader(open());
    await open().register(node('a'));
    await watch.ids('a');
    const next = watch.next();
    await elapse(TTL * 1.5);
    expect(await isPending(next)).toBe(true);
  });
});
