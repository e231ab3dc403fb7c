/** Each entry counts as alive for the ttl of its publisher, whatever the ttl of the reader is. */
import { existsSync, readFileSync } from 'node:fs';
import { lstat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SILENT } from '../../../src/core/logger.js';
import { LONGEST_TIMER } from '../../../src/core/timers.js';
import { entryValue } from '../../../src/micro/registry-entry.js';
import { DirectoryScanner } from '../../../src/registries/file/directory-scanner.js';
import { FILE_REGISTRY_DEFAULTS } from '../../../src/registries/file/index.js';
import { PublishedFile } from '../../../src/registries/file/published-file.js';
import { Registration } from '../../../src/registries/shared/registration.js';
import { node, putFile, WatchReader } from '../../fixtures/registries.js';
import { directory, open, pathOf, startProvider, useDirectory } from './directory.js';

const SHORT = 2_000;
const LONG = 60_000;
const DAY = 24 * 3_600_000;
const VALUE = entryValue(node('a'));

describe('the ttl of an entry of the file registry', () => {
  useDirectory();
  const published: PublishedFile[] = [];
  afterEach(async () => {
    vi.restoreAllMocks();
    for (const file of published.splice(0)) await file.withdraw();
  });

  /** Writes the entry of the node `a`. No timer sends heartbeats. */
  async function publish(ttl: number, value = VALUE): Promise<PublishedFile> {
    const path = pathOf(node('a'));
    const file = new PublishedFile(directory, path, ttl, SILENT);
    published.push(file);
    await file.publish(value, new Registration(path, undefined, true));
    return file;
  }

  /** Replaces the clocks by ones that stand still. Returns the function that moves them. */
  function stopClocks(): (ms: number) => void {
    let [time, elapsed] = [Date.now(), performance.now()];
    vi.spyOn(Date, 'now').mockImplementation(() => time);
    vi.spyOn(performance, 'now').mockImplementation(() => elapsed);
    return (ms) => {
      time += ms;
      elapsed += ms;
    };
  }

  const scannerOf = (ttl: number): DirectoryScanner =>
    new DirectoryScanner(directory, { ...FILE_REGISTRY_DEFAULTS, ttl }, SILENT);
  const scan = async (scanner: DirectoryScanner): Promise<string[]> =>
    (await scanner.scan('all')).nodes.map(({ id }) => id);

  /** Sets the access time of the entry `ms` after its time of modification. */
  async function setAccessTime(ms: number): Promise<void> {
    const { mtimeMs } = await lstat(pathOf(node('a')));
    await utimes(pathOf(node('a')), (mtimeMs + ms) / 1_000, mtimeMs / 1_000);
  }

  it.each([
    ['long', 'short', LONG, SHORT],
    ['short', 'long', SHORT, LONG],
  ])('is the %s one of its publisher and not the %s one of a reader', async (_, __, own, other) => {
    const advance = stopClocks();
    await publish(own);
    const scanner = scannerOf(other);
    for (let step = 0; step <= 4; step++) {
      expect([step, await scan(scanner)]).toEqual([step, ['a']]);
      expect([step, await scan(scannerOf(other))]).toEqual([step, ['a']]);
      advance((own - 1) / 4);
    }
    expect(await scan(scanner)).toEqual([]);
    expect(await scan(scannerOf(other))).toEqual([]);
  });

  it('holds for list() of a registry that was opened without the option', async () => {
    const advance = stopClocks();
    await publish(LONG);
    advance(LONG - 1);
    const nodes = await open(undefined, FILE_REGISTRY_DEFAULTS.ttl).list();
    expect(nodes.map(({ id }) => id)).toEqual(['a']);
    expect(readFileSync(pathOf(node('a')), 'utf8')).toBe(VALUE);
  });

  it('removes the node of a killed process from a watch with a longer ttl', async () => {
    await using watch = new WatchReader(open(undefined, 600_000));
    const child = await startProvider(node('a'));
    await watch.ids('a');
    child.kill('SIGKILL');
    await watch.ids();
  });

  it('holds after each heartbeat, also when the clock of the machine jumps between two', async () => {
    const advance = stopClocks();
    const file = await publish(LONG);
    const scanner = scannerOf(SHORT);
    expect(await scan(scanner)).toEqual(['a']);
    for (const jump of [3_600_000, -7_200_000, 0]) {
      const now = Date.now() + jump;
      vi.spyOn(Date, 'now').mockImplementation(() => now);
      advance(LONG / 4);
      await file.heartbeat();
      for (let step = 0; step <= 4; step++) {
        expect([jump, step, await scan(scanner)]).toEqual([jump, step, ['a']]);
        advance((LONG - 1) / 4);
      }
    }
    expect(await scan(scanner)).toEqual([]);
  });

  it('can be shorter than the time between two scans', async () => {
    const advance = stopClocks();
    await publish(20);
    const scanner = scannerOf(SHORT);
    expect(await scan(scanner)).toEqual(['a']);
    // A late scan gives the provider time for one heartbeat, but only once.
    advance(200);
    await scan(scanner);
    advance(200);
    expect(await scan(scanner)).toEqual([]);
  });

  it('is that of the reader for a file that another program wrote', async () => {
    const advance = stopClocks();
    await putFile(pathOf(node('a')), VALUE);
    await utimes(pathOf(node('a')), Date.now() / 1_000, Date.now() / 1_000);
    advance(SHORT + 1);
    expect(await scan(scannerOf(SHORT))).toEqual([]);
    expect(await scan(scannerOf(LONG))).toEqual(['a']);
  });

  it.each([-DAY, 0, LONG, DAY * 25, DAY * 25 + 19, DAY * 25 + LONGEST_TIMER + 1, DAY * 4_000])(
    'is that of the reader for an access time that is %i ms after the heartbeat',
    async (ms) => {
      const advance = stopClocks();
      await publish(LONG);
      await setAccessTime(ms);
      advance(SHORT - 1);
      expect(await scan(scannerOf(SHORT))).toEqual(['a']);
      advance(2);
      expect(await scan(scannerOf(SHORT))).toEqual([]);
    },
  );

  it('stays known if a program changes the access time of a known file', async () => {
    const advance = stopClocks();
    const file = await publish(LONG);
    const scanner = scannerOf(SHORT);
    expect(await scan(scanner)).toEqual(['a']);
    advance(LONG / 4);
    await file.heartbeat();
    await setAccessTime(1);
    expect(await scan(scanner)).toEqual(['a']);
    advance(LONG - 1);
    expect(await scan(scanner)).toEqual(['a']);
    // Another file at the same path has a publisher of its own.
    await publish(LONG);
    await setAccessTime(1);
    expect(await scan(scanner)).toEqual(['a']);
    advance(SHORT - 1);
    expect(await scan(scanner)).toEqual(['a']);
    advance(2);
    expect(await scan(scanner)).toEqual([]);
  });

  it('decides when the file of a dead entry is deleted', async () => {
    const advance = stopClocks();
    await publish(LONG);
    const scanner = scannerOf(SHORT);
    await scan(scanner);
    advance(LONG / 2);
    await scan(scanner);
    advance(LONG / 2 + 1);
    expect(await scan(scanner)).toEqual([]);
    advance(LONG * 9 - 2);
    await scan(scanner);
    expect(existsSync(pathOf(node('a')))).toBe(true);
    advance(2);
    await scan(scanner);
    expect(existsSync(pathOf(node('a')))).toBe(false);
  });

  it('decides for how long another publisher leaves the entry alone', async () => {
    const advance = stopClocks();
    const own = await publish(SHORT);
    await publish(LONG, entryValue(node('a', { address: 'tcp://127.0.0.1:2' })));
    await own.heartbeat();
    advance(LONG - 1);
    await own.heartbeat();
    expect(own.isTakenOver).toBe(true);
    advance(2);
    await own.heartbeat();
    expect(own.isTakenOver).toBe(false);
    expect(readFileSync(pathOf(node('a')), 'utf8')).toBe(VALUE);
  });

  it('leaves a temporary file alone for as long as the ttl of its writer says', async () => {
    const advance = stopClocks();
    await publish(LONG);
    const { atimeMs, mtimeMs } = await lstat(pathOf(node('a')));
    const temporary = join(directory, '.getty-left');
    await putFile(temporary, VALUE);
    await utimes(temporary, atimeMs / 1_000, mtimeMs / 1_000);
    const scanner = scannerOf(SHORT);
    await scan(scanner);
    advance(LONG * 10 - 1);
    await scan(scanner);
    expect(existsSync(temporary)).toBe(true);
    advance(2);
    await scan(scanner);
    expect(existsSync(temporary)).toBe(false);
  });
});
