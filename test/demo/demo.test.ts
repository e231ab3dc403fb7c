/** The demo: its output, its flags, its registries and its end. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { EtcdServer } from '../fixtures/etcd-server.js';
import { Inbox, PROCESS_PATIENCE, until } from '../fixtures/waiting.js';

const PROGRAM = fileURLToPath(new URL('../../build/demo/main.js', import.meta.url));

interface Outcome {
  code: number | null;
  out: string;
  errors: string;
}

describe('the demo', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'getty-demo-test-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Starts the demo with `folder` as its directory for temporary files. */
  function start(args: string[]) {
    const lines = new Inbox<string>('a line of the demo');
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const outcome: Outcome = { code: null, out: '', errors: '' };
    child.stdout.on('data', (bytes) => {
      outcome.out += bytes;
      for (const line of String(bytes).split('\n')) if (line !== '') lines.push(line);
    });
    child.stderr.on('data', (bytes) => {
      outcome.errors += bytes;
    });
    const ended = new Promise<Outcome>((resolve) =>
      child.on('close', (code) => resolve({ ...outcome, code })),
    );
    return { child, lines, ended };
  }

  it('kills a provider and starts it again without a failed call', async () => {
    const { code, out, errors } = await start(['--duration', '7500ms', '--rate', '300']).ended;
    expect(errors).toBe('');
    const last = out.trimEnd().split('\n').at(-1);
    const found = /^calls=(\d+) failed=0 failovers=(\d+) p50=\d+\.\d\dms p99=\d+\.\d\dms$/.exec(
      last ?? '',
    );
    expect(found, out).not.toBeNull();
    expect(Number(found?.[1])).toBeGreaterThan(1_800);
    expect(Number(found?.[2])).toBeGreaterThanOrEqual(1);
    expect(out).toMatch(
      /provider-2 killed with SIGKILL[\s\S]*node gone: provider-2[\s\S]*provider-2 started again[\s\S]*node back: provider-2/,
    );
    expect(out).toMatch(
      /^ {3}1s {2,}\d+ calls\/s {2}failed 0 {2}failovers \d+ {2}p50 [\d.]+ ms {2}p99 [\d.]+ ms {2}live \d$/m,
    );
    expect(code).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['etcd://127.0.0.1:1/getty', /etcd at http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/],
    ['zookeeper://127.0.0.1:1/getty', /ZooKeeper registry 127\.0\.0\.1:1\/getty: .*ECONNREFUSED/],
    ['127.0.0.1:2379', /got "127\.0\.0\.1:2379", expected .*etcd:\/\/host:port/],
  ])('reports the failure of a registry at %s at once', async (url, message) => {
    const startTime = performance.now();
    const { code, errors } = await start(['--registry', url]).ended;
    expect(errors).toMatch(message);
    expect(code).toBe(1);
    expect(performance.now() - startTime).toBeLessThan(10_000);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'stops every process and removes all entries after %s',
    async (signal) => {
      const { child, lines, ended } = start([
        '--duration',
        '60s',
        '--rate',
        '100',
        '--registry',
        `file://${folder}/registry`,
      ]);
      await until(
        () => lines.all.some((line) => / 1s /.test(line)),
        'the first second',
        PROCESS_PATIENCE,
      );
      child.kill(signal);
      const { code, errors } = await ended;
      expect(errors).toBe(`stopped by ${signal}\n`);
      expect(code).toBe(signal === 'SIGINT' ? 130 : 143);
      // The providers have deregistered.
      const left = readdirSync(join(folder, 'registry'), {
        recursive: true,
        withFileTypes: true,
      }).filter((entry) => entry.isFile());
      expect(left).toEqual([]);
    },
  );

  it.each([
    [['--duration', 'soon'], '--duration: got soon, expected from 3s to 1440m'],
    [['--rate', '-1'], '--rate'],
    [['--registry', 'memory:'], '--registry: got memory:, which other processes do not see'],
    [
      ['--nonsense'],
      "Unknown option '--nonsense'; the flags are --duration, --rate, --json, --registry, --console, --help",
    ],
    [['--regestry', 'x'], "Unknown option '--regestry'; did you mean --registry?"],
    [['15s'], "Unexpected argument '15s'"],
  ])('rejects %j and prints the usage', async (args, message) => {
    const { code, errors } = await start(args).ended;
    expect(errors).toContain(message);
    expect(errors).toContain('usage: npm start -- [--duration 15s]');
    expect(code).toBe(2);
  });

  it(
    'runs on etcd, and prints one object and nothing else with --json',
    async () => {
      const server = await EtcdServer.started();
      try {
        const { code, out, errors } = await start([
          '--duration',
          '6s',
          '--rate',
          '50',
          '--json',
          '--registry',
          server.url('/getty'),
        ]).ended;
        expect(errors).toBe('');
        const figures = JSON.parse(out);
        expect(figures).toMatchObject({
          failed: 0,
          calls: expect.any(Number),
          failovers: expect.any(Number),
          p50: expect.any(Number),
          p99: expect.any(Number),
        });
        expect(figures.events.map(({ event }: { event: string }) => event)).toContain(
          'provider-2 killed with SIGKILL',
        );
        expect(code).toBe(0);
        expect((await server.entries('/getty')).size).toBe(0);
      } finally {
        await server.stop();
      }
    },
    INSTALL_TIMEOUT,
  );

  it('prints the usage and every flag with --help, and starts nothing', async () => {
    const { code, out, errors } = await start(['--help']).ended;
    for (const part of [
      'usage: npm start --',
      '--duration',
      '--rate',
      '--json',
      '--registry',
      '--help',
    ])
      expect(out).toContain(part);
    expect(errors).toBe('');
    expect(code).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('ends with the reason when a registry cannot be opened', async () => {
    const { code, errors } = await start(['--registry', 'nowhere://x']).ended;
    expect(errors).toMatch(/provider-\d: registry: got "nowhere:\/\/x", expected /);
    expect(code).toBe(1);
  });
});
