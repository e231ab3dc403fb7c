/**
 * The file registry with providers that are killed, suspended or replaced, jumps of the clock and a
 * full disk.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { isPending, node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { suspend } from '../../fixtures/suspend.js';
import { elapse, within } from '../../fixtures/waiting.js';
import { children, directory, open, startProvider, TTL, useDirectory } from './directory.js';

describe('the file registry', () => {
  useDirectory();

  it('removes the node of a killed process after its ttl', async () => {
    await using watch = new WatchReader(open());
    const child = await startProvider(node('a'));
    await watch.ids('a');
    child.kill('SIGKILL');
    await watch.ids();
  });

  it('removes the node of a suspended process, and lists it again when the process continues', async () => {
    await using watch = new WatchReader(open());
    const child = await startProvider(node('a'));
    await watch.ids('a');
    await suspend(child);
    await watch.ids();
    child.kill('SIGCONT');
    await watch.ids('a');
  });

  it('lists no node of a killed process, however long the last list() is ago', async () => {
    const registry = open();
    const child = await startProvider(node('a'));
    expect(await registry.list()).toHaveLength(1);
    child.kill('SIGKILL');
    await elapse(2 * TTL);
    expect(await registry.list()).toEqual([]);
  });

  it('keeps an entry that another process took over, and publishes its own again when that process has ended', async () => {
    const log = new RecordingLogger();
    const [own, other] = [
      node('a', { address: 'tcp://127.0.0.1:1' }),
      node('a', { address: 'tcp://127.0.0.1:2' }),
    ];
    await open(log).register(own);
    await using watch = new WatchReader(open());
    await watch.ids('a');
    const child = await startProvider(other);
    await watch.until(
      ([first]) => first?.address === other.address,
      'the address of the other process',
    );
    await log.waitFor('another process has published this entry');
    child.kill('SIGKILL');
    await watch.until(([first]) => first?.address === own.address, 'its own address');
    expect(log.linesWith('another process').length).toBe(1);
    // When the other registration ends, the list lacks the node for a few scans at most.
    const second = await open().register(other);
    await watch.until(([first]) => first?.address === other.address, 'the other address');
    await log.waitFor('another process', 2);
    await second[Symbol.asyncDispose]();
    await watch.until(([first]) => first?.address === own.address, 'its own address again');
  });

  it('replaces the entry of a killed process that restarts within the ttl', async () => {
    await using watch = new WatchReader(open());
    const child = await startProvider(node('a', { address: 'tcp://127.0.0.1:1' }));
    await watch.ids('a');
    child.kill('SIGKILL');
    await startProvider(node('a', { address: 'tcp://127.0.0.1:2' }));
    await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the new address');
    expect(watch.seen.filter((ids) => ids.length > 1)).toEqual([]);
  });

  it('does not keep a process alive by a registration or a watch', async () => {
    const child = await startProvider(node('a'));
    child.stdin?.end();
    const [code] = await within(once(child, 'exit'), 'the end of the process');
    expect(code).toBe(0);
  });

  it.each([-3_600_000, -3_000, 3_000, 3_600_000])(
    'keeps living nodes in the lists when the clock jumps by %i ms',
    async (jump) => {
      await using watch = new WatchReader(open());
      await open().register(node('a'));
      const child = await startProvider(node('b'));
      await watch.ids('a', 'b');
      const next = watch.next();
      const now = Date.now;
      vi.spyOn(Date, 'now').mockImplementation(() => now() + jump);
      try {
        await elapse(TTL * 2);
        // A new reader knows no earlier version of the files, so it waits for the next heartbeats.
        await using later = new WatchReader(open());
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

  it('rejects register() with the reason if the disk is full, and leaves no file', async () => {
    // With a limit of file sizes, writes fail as on a full disk.
    const limited = spawn(
      '/bin/sh',
      [
        '-c',
        `ulimit -f 0; trap '' XFSZ; exec "$@"`,
        'sh',
        process.execPath,
        fileURLToPath(new URL('../../fixtures/file-provider.mjs', import.meta.url)),
        directory,
        `${TTL}`,
        JSON.stringify(node('b')),
      ],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    children.add(limited);
    let text = '';
    limited.stderr?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    await within(once(limited, 'exit'), 'the end of the provider');
    expect(text).toContain('cannot write the entry');
    expect(text).toContain('EFBIG');
    expect((await readdir(directory)).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});
