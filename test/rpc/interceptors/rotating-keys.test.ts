/** The key sets of jwt() that are loaded again. */
import type { JSONWebKeySet } from 'jose';
import { describe, expect, test } from 'vitest';
import { type FindKey, RotatingKeys } from '../../../src/rpc/interceptors/rotating-keys.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { rejection } from '../../fixtures/transports.js';

fakeTime();

class UnknownKey extends Error {}

/** Keys whose loads the test settles. A token is the id of its key. */
function openKeys({ cooldown = 1_000, maxAge = Number.POSITIVE_INFINITY } = {}) {
  const loads: { resolve(set: JSONWebKeySet): void; reject(error: Error): void }[] = [];
  const keys = new RotatingKeys({
    cooldown,
    maxAge,
    load: () =>
      new Promise<JSONWebKeySet>((resolve, reject) => {
        loads.push({ resolve, reject });
      }),
    finderOf: (set) => async (header) => {
      if (!set.keys.some(({ kid }) => kid === header?.kid)) throw new UnknownKey();
      return new Uint8Array();
    },
    isUnknown: (error) => error instanceof UnknownKey,
  });
  const find = (kid: string): ReturnType<FindKey> =>
    keys.find({ alg: 'ES256', kid }, { payload: '', signature: '' });
  const answer = async (index: number, ...ids: string[]): Promise<void> => {
    await pass(0);
    loads[index]?.resolve({ keys: ids.map((kid) => ({ kty: 'EC', kid })) });
    await pass(0);
  };
  const fail = async (index: number): Promise<void> => {
    await pass(0);
    loads[index]?.reject(new Error('the disk is full'));
    await pass(0);
  };
  return { loads, find, answer, fail };
}

describe('RotatingKeys', () => {
  test('finds known keys while a load for an unknown key runs, and when it fails', async () => {
    const { loads, find, answer, fail } = openKeys({ cooldown: 0 });
    const first = find('a');
    await answer(0, 'a');
    await first;
    const unknown = rejection(find('b'));
    await pass(0);
    expect(loads).toHaveLength(2);
    await find('a');
    await fail(1);
    expect(await unknown).toMatchObject({ message: 'the disk is full' });
    await find('a');
  });

  test('ends a load that hangs, and loads again', async () => {
    const { loads, find, answer } = openKeys();
    const hung = rejection(find('a'));
    await pass(10_000);
    expect(await hung).toMatchObject({ message: 'the keys were not loaded within 10000 ms' });
    const second = find('a');
    await answer(1, 'a');
    await second;
    await pass(1_000);
    const unknown = rejection(find('b'));
    await pass(10_000);
    expect(await unknown).toMatchObject({ message: 'the keys were not loaded within 10000 ms' });
    await find('a');
    const third = find('b');
    await answer(3, 'a', 'b');
    await third;
    expect(loads).toHaveLength(4);
  });

  test('loads the first keys again at most once a second, or once in a shorter `cooldown`', async () => {
    for (const [cooldown, delay] of [
      [30_000, 1_000],
      [100, 100],
    ] as const) {
      const { loads, find, answer, fail } = openKeys({ cooldown });
      const first = rejection(find('a'));
      await fail(0);
      expect(await first).toMatchObject({ message: 'the disk is full' });
      await pass(delay - 1);
      expect(await rejection(find('a'))).toMatchObject({ message: 'the disk is full' });
      expect(loads).toHaveLength(1);
      await pass(1);
      const second = find('a');
      await answer(1, 'a');
      await second;
    }
  });

  test('loads old keys again, at most once in `cooldown`, and uses them meanwhile', async () => {
    const { loads, find, answer, fail } = openKeys({ maxAge: 60_000 });
    const first = find('a');
    await answer(0, 'a');
    await first;
    await pass(60_000);
    await find('a');
    await find('a');
    expect(loads).toHaveLength(2);
    await fail(1);
    await find('a');
    expect(loads).toHaveLength(2);
    await pass(1_000);
    await find('a');
    expect(loads).toHaveLength(3);
    await answer(2, 'b');
    await find('b');
    expect(await rejection(find('a'))).toBeInstanceOf(UnknownKey);
    expect(loads).toHaveLength(3);
  });
});
