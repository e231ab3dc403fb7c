/** `getty explain`. */
import { describe, expect, test } from 'vitest';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { openFleet } from '../greeter-servers.js';
import { getty } from '../run-getty.js';

noLeaks();

interface Row {
  readonly node: string;
  readonly calls: boolean;
  readonly reason: string;
}

describe('getty explain', () => {
  test('says which nodes receive calls, and why the others do not', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { group: 'bj', weight: 7 });
    await fleet.provide('b', { group: 'sh' });
    const [published] = await fleet.registry.list();
    await fleet.registry.register({
      ...(published as NonNullable<typeof published>),
      id: 'dead',
      address: 'tcp://127.0.0.1:1',
    });
    const args = ['explain', fleet.url, 'Greeter', '--group', 'bj', '--service-version', 'v1'];
    const { code, stdout } = await getty(...args, '--json');
    expect(code).toBe(0);
    const rows: Row[] = JSON.parse(stdout).nodes;
    expect(rows.map(({ node, calls, reason }) => [node, calls, reason])).toEqual([
      ['a', true, expect.stringMatching(/^receives calls; answers within \d+\.\d ms$/)],
      ['dead', false, expect.stringMatching(/ECONNREFUSED/)],
      ['b', false, 'its group is "sh", this consumer needs "bj"'],
    ]);
    const table = await getty(...args);
    expect(table.stdout).toMatch(/^NODE +ADDRESS +VERSION +GROUP +CODEC +WEIGHT +CALLS +WHY\n/);
    expect(table.stdout).toMatch(/\na +tcp:.* +v1 +bj +json +7 +yes +receives calls/);
    expect(table.stderr).toBe('1 of 3 entries receive calls\n');
  });

  test('leaves out the other codec of a node, unless the node has no other', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    const [json] = await fleet.registry.list();
    const entry = json as NonNullable<typeof json>;
    await fleet.registry.register({ ...entry, protocol: 'protobuf' });
    await fleet.registry.register({ ...entry, id: 'b', protocol: 'protobuf' });
    const nodes = async (...args: string[]): Promise<string[][]> =>
      JSON.parse(
        (await getty('explain', fleet.url, 'Greeter', '--json', ...args)).stdout,
      ).nodes.map(({ node, codec }: { node: string; codec: string }) => [node, codec]);
    expect(await nodes()).toEqual([
      ['a', 'json'],
      ['b', 'protobuf'],
    ]);
    expect(await nodes('--service-version', 'v2')).toHaveLength(2);
    expect((await nodes('--codec', 'protobuf')).map(([, codec]) => codec)).toEqual([
      'protobuf',
      'protobuf',
    ]);
  });

  test('says of a node with the weight 0 that weighted() calls the others', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { weight: 0 });
    const args = ['explain', fleet.url, 'Greeter', '--json'];
    const reasons = async (): Promise<string[]> =>
      JSON.parse((await getty(...args)).stdout).nodes.map(({ reason }: Row) => reason);
    expect(await reasons()).toEqual([expect.stringMatching(/^receives calls; answers/)]);
    await fleet.provide('b');
    expect((await reasons()).sort()).toEqual([
      expect.stringMatching(/^receives calls, but not from weighted\(\): its weight is 0; answers/),
      expect.stringMatching(/^receives calls; answers/),
    ]);
  });

  test('finds a node that accepts connections and does not answer', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    await using silent = await RawServer.serve({}, () => true);
    const [published] = await fleet.registry.list();
    await fleet.registry.register({
      ...(published as NonNullable<typeof published>),
      id: 'silent',
      address: silent.address,
    });
    const args = ['explain', fleet.url, 'Greeter', '--timeout', '500ms', '--json'];
    const rows: Row[] = JSON.parse((await getty(...args)).stdout).nodes;
    expect(rows.map(({ node, calls, reason }) => [node, calls, reason])).toEqual([
      ['a', true, expect.stringMatching(/^receives calls/)],
      ['silent', false, `${silent.address} accepts connections, and does not answer`],
    ]);
  });

  test('ends with 14 if no node receives calls', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    for (const options of [
      ['--service-version', 'v2'],
      ['--codec', 'protobuf'],
      ['--group', 'sh'],
    ]) {
      const { code, stdout } = await getty('explain', fleet.url, 'Greeter', ...options);
      expect(code).toBe(14);
      expect(stdout).toMatch(/ no +its (version|codec|group) is /);
    }
  });

  test('names the service that was meant', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    expect(await getty('explain', fleet.url, 'Greter')).toEqual({
      code: 14,
      stdout: '',
      stderr: 'getty explain: UNAVAILABLE: no node offers Greter (did you mean Greeter?)\n',
    });
  });

  test('reports a registry that is away', async () => {
    const { code, stderr } = await getty('explain', 'zookeeper://127.0.0.1:1/x', 'Greeter');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^getty explain: REGISTRY_FAILED: .*ECONNREFUSED.*\n$/);
  });

  test('says what to use instead of --node', async () => {
    expect(await getty('explain', 'memory:x', 'Greeter', '--node', 'a')).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^getty explain: explain has no --node: .*`getty doctor ADD/),
    });
  });
});
