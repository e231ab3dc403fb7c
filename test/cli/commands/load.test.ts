/** `getty load`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { noLeaks } from '../../fixtures/leaks.js';
import { Inbox, until } from '../../fixtures/waiting.js';
import { greeter, openFleet, serveGreeter, temporaryFolder } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

describe('getty load', () => {
  test('calls a server at a rate, and reports the latencies', async () => {
    await using server = await serveGreeter();
    const args = ['load', server.address, 'Greeter/hello', '"x"', '--rate', '1000', '--for'];
    const { code, stdout, stderr } = await getty(...args, '50ms');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^calls {4}50 in [\d.]+ s, started at \d+ calls\/s\nfailed {3}0\nlatency {2}mean /,
    );
    expect(stdout).toMatch(/\nUP TO +CALLS\n.*█/);
    const inJson = await getty(...args, '20ms', '--json');
    expect(JSON.parse(inJson.stdout)).toMatchObject({ calls: 20, failed: 0, codes: {} });
  });

  test('calls with some calls in flight, without a reply too', async () => {
    const notes = new Inbox<string>('a note');
    await using server = await serveGreeter({ introspection: true }, [greeter('a', notes)]);
    const args = ['load', server.address, 'Greeter/note', '"x"', '--in-flight', '2'];
    const { code, stdout } = await getty(...args, '--for', '5ms', '--connections', '2', '--json');
    expect(code).toBe(0);
    expect(await notes.take(JSON.parse(stdout).calls)).not.toHaveLength(0);
  });

  test('calls all nodes of a registry, and one with --node', async () => {
    await using fleet = openFleet();
    const providers = [await fleet.provide('a'), await fleet.provide('b')];
    const counts = (): number[] =>
      providers.map(
        (provider) =>
          provider.statistics().served.find(({ method }) => method === 'hello')?.started ?? 0,
      );
    const args = ['load', fleet.url, 'Greeter/hello', '"x"', '--rate', '1000', '--for', '20ms'];
    const all = await getty(...args);
    expect(all.code).toBe(0);
    expect(all.stderr).toBe('all nodes of the registry that offer Greeter v1 are called\n');
    // While the connection to one node is slow, the other one gets its calls.
    const [atA = 0, atB = 0] = counts();
    expect(atA + atB).toBe(20);
    expect(await getty(...args, '--node', 'b')).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^node b at tcp:\S+\n$/),
    });
    expect(counts()).toEqual([atA, atB + 20]);
  });

  test('keeps no other session at a node than that of its calls', async () => {
    await using fleet = openFleet();
    const provider = await fleet.provide('a');
    const running = startGetty(['load', fleet.url, 'Greeter/hello', '"x"', '--rate', '50']);
    const peers = (): number => provider.statistics().peers.length;
    const calls = (): number =>
      provider.statistics().served.find(({ method }) => method === 'hello')?.started ?? 0;
    await until(() => calls() > 0 && peers() === 1, 'only the session of the calls is open');
    running.interrupt();
    await finished(running);
  });

  test('warns of a property that the JSON Schema lacks', async () => {
    await using server = await serveGreeter();
    const args = ['load', server.address, 'Greeter/price', '{"itm":"x"}', '--rate', '10'];
    const { stderr } = await getty(...args, '--for', '1ms');
    expect(stderr).toContain('did you mean item?');
  });

  test('writes the histogram as a picture', async () => {
    await using folder = await temporaryFolder();
    await using server = await serveGreeter();
    const file = join(folder.path, 'load.svg');
    const args = ['load', server.address, 'Greeter/hello', '"x"', '--rate', '1000', '--for', '9ms'];
    expect((await getty(...args, '--svg', file)).code).toBe(0);
    const picture = await readFile(file, 'utf8');
    expect(picture).toMatch(/^<svg [^>]*viewBox="0 0 720 \d+"[\s\S]*<\/svg>\n$/);
    expect(picture).toContain('9 calls, ');
    const failed = await getty(...args, '--svg', join(folder.path, 'no/such/folder.svg'));
    expect(failed.code).toBe(2);
    expect(failed.stderr).toMatch(/--svg: the file cannot be written: ENOENT.*\n$/);
  });

  test('ends with the number of the most frequent code', async () => {
    await using server = await serveGreeter();
    const args = ['load', server.address, 'Greeter/fail', '"no order"', '--rate', '1000'];
    const { code, stdout } = await getty(...args, '--for', '10ms');
    expect(code).toBe(5);
    expect(stdout).toMatch(/\nfailed {3}10: NOT_FOUND 10; first: no order\n/);
  });

  test('reports the calls of each second, and those of them that failed', async () => {
    await using server = await serveGreeter();
    const args = ['load', server.address, 'Greeter/fail', '"x"', '--rate', '100', '--for', '1h'];
    const load = startGetty(args);
    const [, calls, failed] =
      /^last second: (\d+) calls {2}failed (\d+) {2}in flight now \d+$/.exec(
        await load.errors.next(),
      ) ?? [];
    expect(failed).toBe(calls);
    load.interrupt();
    const { code, stdout } = await finished(load);
    expect(code).toBe(5);
    const total = Number(/\nfailed {3}(\d+): /.exec(stdout)?.[1]);
    expect(total).toBeGreaterThanOrEqual(Number(failed));
    expect(stdout).toMatch(/\nlatency {2}no call has succeeded\n$/);
  });

  test('ends on Ctrl-C with the report so far', async () => {
    const notes = new Inbox<string>('a note');
    await using server = await serveGreeter({ introspection: true }, [greeter('a', notes)]);
    const args = ['load', server.address, 'Greeter/mark', '"x"', '--in-flight', '1', '--for', '1h'];
    const load = startGetty([...args, '--json']);
    await notes.next();
    load.interrupt();
    const { code, stdout } = await finished(load);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).calls).toBeGreaterThan(0);
  });

  test.each([
    [[], /--rate, --in-flight: got neither, expected one of them/],
    [['--rate', '1', '--in-flight', '1'], /got both, expected one of them/],
    [['--rate', '0'], /--rate: got "0", expected a whole number from 1/],
    [['--rate', '1', '--for', 'x'], /--for: got "x"/],
  ])('refuses the options %j', async (options, message) => {
    const { code, stderr } = await getty('load', 'tcp://127.0.0.1:1', 'Greeter/hello', ...options);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  test('refuses a method that streams', async () => {
    await using server = await serveGreeter();
    const { code, stderr } = await getty(
      'load',
      server.address,
      'Greeter/count',
      '1',
      '--rate',
      '1',
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/got a method of the kind serverStream, expected no stream/);
  });
});
