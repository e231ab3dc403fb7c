/** `getty sessions`. */
import { describe, expect, test } from 'vitest';
import {
  auth,
  bearer,
  contract,
  Introspection,
  implement,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress } from '../../fixtures/rpc.js';
import { pemPath } from '../../fixtures/tls-endpoints.js';
import { Greeter, greeter, serveGreeter } from '../greeter-servers.js';
import { getty } from '../run-getty.js';

noLeaks();

const COUNTS = { started: 0, succeeded: 0, failed: 0 };
const SESSION = {
  id: 'x',
  peer: '\u001b[2J',
  identity: '\u001b[1m',
  age: 1e20,
  bytesRead: -1,
  bytesWritten: 1e300,
  queuedBytes: 0.5,
  pending: 0,
  serving: 0,
  calls: COUNTS,
  served: COUNTS,
};

describe('getty sessions', () => {
  test('lists the peers of a server with their calls', async () => {
    await using server = await serveGreeter();
    await using client = await connectOnce(server.address);
    await client.stub(Greeter).hello('x');
    await client
      .stub(Greeter)
      .fail('x')
      .catch(() => {});
    const { code, stdout, stderr } = await getty('sessions', server.address);
    expect(code).toBe(0);
    expect(stderr).toBe('sessions: 1\n');
    const [titles, ...rows] = stdout
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/ {2,}/));
    expect(titles?.join(' ')).toBe(
      'PEER KIND IDENTITY AGE RECEIVED SENT QUEUED SERVING SERVED FAILED CALLING CALLED FAILED ID',
    );
    const amounts = String.raw`extended \d+s \d+ B [\d.]+ (?:Ki)?B \d+ B`;
    const id = '[0-9a-f]{16}-[0-9]+';
    const pattern = (counts: string): RegExp => new RegExp(`^${amounts} ${counts} ${id}$`);
    const texts = rows.map((row) => row.slice(1).join(' ')).join('\n');
    expect(texts).toMatch(new RegExp(pattern('0 2 1 0 0 0'), 'm'));
  });

  test.each([
    ['tcp://127.0.0.1:0', {}],
    ['ws://127.0.0.1:0/x', { websocket: { compression: 'deflate' as const } }],
    ['tls://127.0.0.1:0', { tls: SERVER_TLS }],
  ])('leaves out its own session at %s', async (address, options) => {
    await using server = await serve(address, [greeter()], { introspection: true, ...options });
    const tls = address.startsWith('tls:') ? ['--ca', pemPath('authority')] : [];
    const { stdout } = await getty('sessions', server.address, '--json', ...tls, '--token', 'x');
    expect(JSON.parse(stdout)).toEqual({ total: 0, sessions: [] });
  });

  test('shows the identity of a peer', async () => {
    const authenticate = ({ token = '' }) => ({ subject: token });
    await using server = await serveGreeter({
      introspection: true,
      interceptors: [auth({ authenticate })],
    });
    const options = { interceptors: [bearer('anna')] };
    await using client = await connectOnce(server.address, options);
    await client.stub(Greeter).hello('x');
    const { stdout } = await getty('sessions', server.address, '--token', 'bert');
    expect(stdout).toMatch(/extended +anna +\d+s/);
    expect(stdout).not.toContain('bert');
  });

  test('writes JSON, and at most --limit sessions', async () => {
    await using server = await serveGreeter();
    await using client = await connectOnce(server.address);
    await client.stub(Greeter).hello('x');
    await using other = await connectOnce(server.address);
    await other.stub(Greeter).hello('x');
    const { stdout } = await getty('sessions', server.address, '--json', '--limit', '1');
    const report = JSON.parse(stdout);
    expect(report.total).toBe(2);
    expect(report.sessions).toHaveLength(1);
    const { stderr } = await getty('sessions', server.address, '--limit', '1');
    expect(stderr).toMatch(/^sessions: \d, of which 1 is shown; --limit shows more\n$/);
  });

  test('shows the sessions with the most queued bytes, then those with the most calls', async () => {
    const Fake = contract(Introspection.name, { sessions: unary<unknown, unknown>() });
    const amounts = [
      ['idle', 0, 0],
      ['busy', 0, 3],
      ['slow', 7, 0],
      ['stuck', 900, 0],
    ] as const;
    const sessions = (request: unknown) => {
      expect(request).toEqual({ limit: 3_000 });
      const list = amounts.map(([id, queuedBytes, serving]) => ({
        ...SESSION,
        id,
        queuedBytes,
        serving,
      }));
      return { total: list.length, sessions: list };
    };
    await using server = await serve(freeMemoryAddress(), [implement(Fake, { sessions })]);
    const ids = async (limit: string): Promise<string[]> => {
      const args = ['sessions', server.address, '--json', '--limit', limit];
      const report: { sessions: { id: string }[] } = JSON.parse((await getty(...args)).stdout);
      return report.sessions.map(({ id }) => id);
    };
    expect(await ids('4')).toEqual(['stuck', 'slow', 'busy', 'idle']);
    expect(await ids('1')).toEqual(['stuck']);
    expect((await getty('sessions', server.address)).stderr).toBe(
      'sessions: 4, with that of this command\n',
    );
  });

  test('shows no more than it asked for, without control characters', async () => {
    const Fake = contract(Introspection.name, { sessions: unary<unknown, unknown>() });
    const sessions = () => ({ total: 9, sessions: new Array(9).fill(SESSION) });
    await using server = await serve(freeMemoryAddress(), [implement(Fake, { sessions })]);
    const { stdout } = await getty('sessions', server.address, '--limit', '2');
    expect(stdout.split('\n')).toHaveLength(4);
    expect(stdout).toMatch(/\n\\u001b\[2J +unknown +\\u001b\[1m /);
  });

  test('needs an address and a limit that is a number', async () => {
    expect(await getty('sessions', 'file:///x')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/ADDRESS: got the registry "file:\/\/\/x".*`getty ls`/),
    });
    expect(await getty('sessions', 'tcp://127.0.0.1:1', '--limit', '0')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--limit: got "0", expected a whole number from 1 to 3000/),
    });
  });
});
