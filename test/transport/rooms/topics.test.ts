import { expect, test } from 'vitest';
import {
  type Codec,
  lines,
  raw,
  type Session,
  TOPICS_DEFAULTS,
  topics,
} from '../../../src/transport/index.js';
import { collectGarbage } from '../../fixtures/garbage.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { room } from '../../fixtures/rooms.js';
import { transportsNamed } from '../../fixtures/session-probes.js';
import { thrown } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

noLeaks();
const MIB = 1024 * 1024;
const [tcp] = transportsNamed('tcp');
if (tcp === undefined) expect.fail();

test('publishes to the subscribers of a name, in the order of their subscriptions', async () => {
  await using r = await room(tcp, 3);
  const [first, second, third] = r.sessions;
  if (first === undefined || second === undefined || third === undefined) expect.fail();
  const rooms = topics<string>();
  expect(rooms.subscribe(second, 'a')).toBe(true);
  expect(rooms.subscribe(first, 'a')).toBe(true);
  expect(rooms.subscribe(first, 'a')).toBe(false);
  rooms.subscribe(third, 'b');
  expect(rooms.subscribers('a')).toEqual([second, first]);
  expect(rooms.subscribers('none')).toEqual([]);
  expect(rooms.topicsOf(first)).toEqual(['a']);
  expect(rooms.size).toBe(2);
  expect(rooms.publish('a', '1', { except: second }).sent).toBe(1);
  expect(rooms.publish('b', '2').sent).toBe(1);
  expect(rooms.publish('none', '3').sent).toBe(0);
  expect(rooms.unsubscribe(first, 'a')).toBe(true);
  expect(rooms.unsubscribe(first, 'a')).toBe(false);
  expect(rooms.publish('a', '4').sent).toBe(1);
  rooms.unsubscribe(second, 'a');
  expect(rooms.size).toBe(1);
  expect(await r.events[0]?.messages.next()).toBe('1');
  expect(await r.events[1]?.messages.next()).toBe('4');
  expect(await r.events[2]?.messages.next()).toBe('2');
});

test('names have no wildcards, and may be the names of properties', async () => {
  await using r = await room(tcp, 1);
  const [session] = r.sessions;
  if (session === undefined) expect.fail();
  const rooms = topics<string>();
  for (const name of ['*', 'a/#', '__proto__', 'constructor']) {
    rooms.subscribe(session, name);
    expect(rooms.publish(name, name).sent).toBe(1);
  }
  expect(rooms.publish('a/b', 'x').sent).toBe(0);
  expect(rooms.publish('toString', 'x').sent).toBe(0);
  expect(await r.events[0]?.messages.take(4)).toEqual(['*', 'a/#', '__proto__', 'constructor']);
});

test('removes the subscriptions of a session that ends', async () => {
  await using r = await room(tcp, 2);
  const [first, second] = r.sessions;
  if (first === undefined || second === undefined) expect.fail();
  const rooms = topics<string>();
  for (const name of ['a', 'b']) rooms.subscribe(first, name);
  rooms.subscribe(second, 'a');
  const closing = first.close();
  expect(rooms.subscribers('a')).toEqual([second]);
  expect(rooms.publish('a', 'x').sent).toBe(1);
  await closing;
  await until(() => rooms.size === 1, 'the topic b is removed');
  expect(rooms.topicsOf(first)).toEqual([]);
  expect(rooms.subscribers('a')).toEqual([second]);
  expect(thrown(() => rooms.subscribe(first, 'a')).code).toBe('SESSION_CLOSED');
  expect(rooms.unsubscribe(first, 'a')).toBe(false);
  expect(await r.events[1]?.messages.next()).toBe('x');
});

test('adds one hook to a session, however often it subscribes', async () => {
  await using r = await room(tcp, 1);
  const session = r.sessions[0] as Session<string> & { ended(): Promise<void> };
  let hooks = 0;
  const { ended } = session;
  session.ended = () => {
    hooks++;
    return ended.call(session);
  };
  const rooms = topics<string>();
  for (let i = 0; i < 1_000; i++) {
    rooms.subscribe(session, `${i}`);
    rooms.unsubscribe(session, `${i}`);
  }
  expect(hooks).toBe(1);
  expect(rooms.size).toBe(0);
});

test('throws TOPIC_LIMIT when a stranger subscribes to more than the limits permit', async () => {
  await using r = await room(tcp, 2);
  const [first, second] = r.sessions;
  if (first === undefined || second === undefined) expect.fail();
  const rooms = topics<string>({ maxTopics: 3, maxTopicsPerSession: 2, maxNameLength: 5 });
  for (const name of ['a', 'b']) rooms.subscribe(first, name);
  expect(thrown(() => rooms.subscribe(first, 'c'))).toMatchObject({
    code: 'TOPIC_LIMIT',
    message: expect.stringContaining('maxTopicsPerSession is 2'),
  });
  rooms.subscribe(second, 'c');
  expect(thrown(() => rooms.subscribe(second, 'd'))).toMatchObject({
    code: 'TOPIC_LIMIT',
    message: 'there are 3 topics, maxTopics is 3',
  });
  rooms.subscribe(second, 'a');
  expect(thrown(() => rooms.subscribe(first, '123456'))).toMatchObject({
    code: 'TOPIC_LIMIT',
    message: expect.stringContaining('6 characters, maxNameLength is 5'),
  });
  rooms.unsubscribe(first, 'b');
  expect(rooms.subscribe(first, 'c')).toBe(true);
  expect(rooms.size).toBe(2);
});

test('bounds a flood of topics by the defaults', async () => {
  await using r = await room(tcp, 1);
  const [session] = r.sessions;
  if (session === undefined) expect.fail();
  const rooms = topics<string>();
  let refused = 0;
  for (let i = 0; i < 1_000; i++) {
    try {
      rooms.subscribe(session, `${i}`);
    } catch {
      refused++;
    }
  }
  expect(refused).toBe(1_000 - TOPICS_DEFAULTS.maxTopicsPerSession);
  expect(rooms.size).toBe(TOPICS_DEFAULTS.maxTopicsPerSession);
});

test('refuses names and sessions of a wrong type, and limits out of range', async () => {
  await using r = await room(tcp, 1);
  const [session] = r.sessions;
  if (session === undefined) expect.fail();
  const rooms = topics<string>();
  for (const name of ['', 1, undefined, {}])
    expect(thrown(() => rooms.subscribe(session, name as string)).code).toBe('BAD_OPTION');
  for (const wrong of [undefined, {}, { codec: raw() }])
    expect(thrown(() => rooms.subscribe(wrong as Session<string>, 'a')).code).toBe('BAD_OPTION');
  for (const wrong of [{ maxTopics: 0 }, { maxTopicsPerSession: -1 }, { maxNameLength: '1' }])
    expect(thrown(() => topics(wrong as object)).code).toBe('BAD_OPTION');
});

test('keeps no message in memory whose part is the name of a topic', async () => {
  await using r = await room(tcp, 1);
  const [session] = r.sessions;
  if (session === undefined) expect.fail();
  const rooms = topics<string>();
  const join = (number: number): void => {
    const line = Buffer.alloc(MIB, `join the-room-with-number-${number} `).toString();
    // V8 makes it a view of the line.
    rooms.subscribe(session, line.split(' ')[1] as string);
  };
  join(0);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let number = 1; number <= 40; number++) join(number);
  collectGarbage();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(10 * MIB);
  expect(rooms.topicsOf(session)).toContain('the-room-with-number-40');
});

test('publishes once to each subscriber when a codec changes the subscriptions', async () => {
  const rooms = topics<string>();
  let act = (): void => {};
  const inner = lines();
  const codec: Codec<string> = {
    read: inner.read,
    write(output, line, session) {
      act();
      inner.write(output, line, session);
    },
  };
  await using r = await room(tcp, 3, { serverSide: { codec } });
  const [first] = r.sessions as [Session<string>];
  for (const session of r.sessions) rooms.subscribe(session, 'a');
  act = () => {
    rooms.unsubscribe(first, 'a');
    rooms.subscribe(first, 'a');
  };
  expect(rooms.publish('a', '1').sent).toBe(3);
  act = () => {
    for (const session of r.sessions) rooms.unsubscribe(session, 'a');
  };
  expect(rooms.publish('a', '2').sent).toBe(3);
  expect(rooms.publish('a', '3').sent).toBe(0);
  for (const { messages } of r.events) expect(await messages.take(2)).toEqual(['1', '2']);
});

test('refuses names that are no strings, and objects that are no sessions', async () => {
  await using r = await room(tcp, 1);
  const [session] = r.sessions as [Session<string>];
  const rooms = topics<string>();
  const name = Symbol('a') as never;
  expect(thrown(() => rooms.unsubscribe(session, name)).code).toBe('BAD_OPTION');
  expect(thrown(() => rooms.publish(name, 'x')).code).toBe('BAD_OPTION');
  for (const wrong of [new Proxy(session, {}), Object.create(session)] as Session<string>[]) {
    expect(thrown(() => rooms.subscribe(wrong, 'a')).code).toBe('BAD_OPTION');
    expect(thrown(() => rooms.topicsOf(wrong)).code).toBe('BAD_OPTION');
  }
});

test('waits once for a slow session, however many topics it joins and leaves', async () => {
  await using r = await room(tcp, 1, { clientSide: { maxMessageBytes: MIB } });
  const [session] = r.sessions as [Session<string> & { unblocked(): Promise<void> }];
  const [peer] = r.peers as [Session<string>];
  let waits = 0;
  const { unblocked } = session;
  session.unblocked = () => {
    waits++;
    return unblocked.call(session);
  };
  peer.pause();
  while (session.queuedBytes < 2 * MIB) {
    session.write('x'.repeat(60_000));
    await turns(2);
  }
  const rooms = topics<string>();
  for (let i = 0; i < 1_000; i++) {
    rooms.subscribe(session, `${i}`);
    expect(rooms.publish(`${i}`, `joined ${i}`, { slow: 'latest' }).waiting).toBe(1);
    rooms.unsubscribe(session, `${i}`);
  }
  expect(waits).toBe(1);
  for (const name of ['a', 'b']) rooms.subscribe(session, name);
  rooms.publish('a', 'one', { slow: 'latest' });
  rooms.publish('b', 'two', { slow: 'latest' });
  rooms.publish('a', 'three', { slow: 'latest' });
  peer.resume();
  await until(() => r.events[0]?.messages.all.at(-1) === 'two', 'the latest messages arrived');
  const lastLines = r.events[0]?.messages.all.filter((line) => !line.startsWith('x'));
  expect(lastLines).toEqual(['three', 'two']);
});
