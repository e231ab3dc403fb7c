/** Idle sessions, short connections, and a storm of clients that connect again. */
import { execFileSync } from 'node:child_process';
import { freePort } from '../../fixtures/ports.js';
import { elapse, until } from '../../fixtures/waiting.js';
import { SkipCell } from '../cell.js';
import { now } from '../cluster.js';
import { Member } from '../member.js';
import type { Scenario, ScenarioReport } from './scenario.js';

/** Milliseconds for many connections on a slow machine. */
const LONG_PATIENCE = 300_000;
/** Longer than one period of heartbeats, 60 s. */
const IDLE_TIME = 65_000;
/** Files that a process has open besides its sockets. */
const OTHER_FILES = 200;
const MIB = 1024 * 1024;

const COMMON = { where: 'scale', transport: 'tcp', registry: 'none', calls: 'unary' } as const;

interface Pair {
  readonly server: Member;
  readonly clients: Member;
}

function requireFiles(count: number): void {
  const limit = execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim();
  if (limit !== 'unlimited' && Number(limit) < count + OTHER_FILES)
    throw new SkipCell(`a process may open ${limit} files, and ${count} sessions need more`);
}

function startMember(program: string, address: string, folder: string): Promise<Member> {
  const settings = { address };
  const errors = `${folder}/${program}.err`;
  return Member.start({ program, name: program, settings, errors, flags: ['--expose-gc'] });
}

async function startPair(folder: string): Promise<Pair & { address: string }> {
  const address = `tcp://127.0.0.1:${await freePort()}`;
  const server = await startMember('endpoint-server.mjs', address, folder);
  const clients = await startMember('endpoint-clients.mjs', address, folder);
  return { server, clients, address };
}

async function untilSessions(members: readonly Member[], count: number): Promise<void> {
  const sessions = async (): Promise<number> => {
    const counts = await Promise.all(members.map((each) => each.command<number>('sessions')));
    return counts.reduce((sum, each) => sum + each, 0);
  };
  await until(async () => (await sessions()) === count, `${count} sessions`, LONG_PATIENCE);
}

async function memoryOf(member: Member): Promise<number> {
  const { heapUsed, external } = await member.command<NodeJS.MemoryUsage>('memory');
  return heapUsed + external;
}

/** Two servers with half of the sessions each, since a process has a limit of open files. */
async function idle(total: number, folder: string): Promise<ScenarioReport> {
  const perPair = total / 2;
  requireFiles(perPair);
  const pairs = [await startPair(folder), await startPair(folder)];
  const servers = pairs.map(({ server }) => server);
  try {
    const before = await Promise.all(servers.map(memoryOf));
    const start = now();
    await Promise.all(pairs.map(({ clients }) => clients.command('open', 100, perPair / 100)));
    await untilSessions(servers, total);
    const opened = now() - start;
    const after = await Promise.all(servers.map(memoryOf));
    const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);
    const perSession = (sum(after) - sum(before)) / total;
    await elapse(IDLE_TIME);
    const problems: string[] = [];
    for (const { server, clients } of pairs)
      for (const each of [server, clients]) {
        const sessions = await each.command<number>('sessions');
        if (sessions !== perPair) problems.push(`${each.name} has ${sessions} sessions at the end`);
      }
    await Promise.all(pairs.map(({ clients }) => clients.command('call', 10)));
    const remarks = [
      `opened in ${(opened / 1_000).toFixed(1)} s, ${Math.round(perSession)} bytes of memory of the server for each session after garbage collection; all are open after ${IDLE_TIME / 1_000} s, and 2,000 calls over them succeed`,
    ];
    return { problems, remarks };
  } finally {
    for (const { server, clients } of pairs) {
      await clients.kill();
      await server.kill();
    }
  }
}

async function churn(total: number, folder: string): Promise<ScenarioReport> {
  const { server, clients } = await startPair(folder);
  try {
    const parts = 5;
    const memory: number[] = [];
    const start = now();
    for (let part = 0; part < parts; part++) {
      await clients.command('churn', total / parts, 32);
      await untilSessions([server], 0);
      memory.push((await memoryOf(server)) / MIB);
    }
    const time = now() - start;
    const calls = await server.command<number>('calls');
    const problems: string[] = [];
    if (calls !== total) problems.push(`${calls} of ${total} calls have run`);
    const [first = 0, last = 0] = [memory[0], memory.at(-1)];
    if (last > first * 1.5 + 5)
      problems.push(`the memory of the server has grown from ${first} to ${last} MiB`);
    const remarks = [
      `${Math.round(total / (time / 1_000))} connections per second with one call each, no call failed; memory of the server after each fifth: ${memory.map((each) => each.toFixed(1)).join(', ')} MiB`,
    ];
    return { problems, remarks };
  } finally {
    await clients.kill();
    await server.kill();
  }
}

async function redials(total: number, folder: string): Promise<ScenarioReport> {
  requireFiles(total);
  const { server, clients, address } = await startPair(folder);
  let next: Member | undefined;
  try {
    await clients.command('open', total / 2, 2);
    await untilSessions([server], total);
    await server.kill();
    const killed = now();
    next = await startMember('endpoint-server.mjs', address, folder);
    const listening = now();
    await untilSessions([next], total);
    const time = now() - listening;
    await clients.command('call', 1);
    const calls = await next.command<number>('calls');
    const problems = calls === total / 2 ? [] : [`${calls} of ${total / 2} calls have run`];
    const remarks = [
      `the server was away for ${Math.round(listening - killed)} ms; all ${total} sessions are open again ${Math.round(time)} ms after it listens`,
    ];
    return { problems, remarks };
  } finally {
    await clients.kill();
    await next?.kill();
    await server.kill();
  }
}

export const SESSION_SCENARIOS: readonly Scenario[] = [
  {
    ...COMMON,
    name: 'scale: 20,000 idle sessions',
    isLong: true,
    run: (folder) => idle(20_000, folder),
  },
  {
    ...COMMON,
    name: 'scale: churn of 50,000 connections',
    isLong: true,
    run: (folder) => churn(50_000, folder),
  },
  { ...COMMON, name: 'scale: storm of 2,000 redials', run: (folder) => redials(2_000, folder) },
];
