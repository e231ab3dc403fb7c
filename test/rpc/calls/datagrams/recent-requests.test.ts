/** The requests that a server remembers for each peer over UDP. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isTurnOver, nextTurn } from '../../../../src/core/turn.js';
import {
  MAX_REQUESTS_PER_PEER,
  RecentRequests,
} from '../../../../src/rpc/calls/datagrams/recent-requests.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { until } from '../../../fixtures/waiting.js';

noLeaks();

describe('RecentRequests', () => {
  test('remembers a request until its deadline has passed, and its answer while there is room', () => {
    const recent = new RecentRequests();
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 7 });
    for (let low = 0; low < 3_000; low++) {
      expect(recent.find(request(low))).toBeUndefined();
      expect(recent.add(request(low), low % 2 === 0 ? 5_000 : 60_000, 0)).toBe(true);
      recent.setAnswer(request(low), new Uint8Array(1_000));
    }
    expect(recent.find(request(2_999))?.answer).toHaveLength(1_000);
    // 903 answers of 1,000 bytes, each with 160 bytes of overhead, fit into 1 MiB.
    expect(recent.find(request(3_000 - 903))?.answer).toHaveLength(1_000);
    expect(recent.find(request(3_000 - 904))).toMatchObject({ answer: undefined });
    expect(recent.find(request(0))).toBeDefined();
    expect(recent.find({ sequenceLow: 0, sequenceHigh: 8 })).toBeUndefined();
    for (let low = 3_000; low < 6_000; low++) recent.add(request(low), 5_000, 20_000);
    expect(recent.find(request(0))).toBeUndefined();
    expect(recent.find(request(1))).toBeDefined();
    recent.clear();
  });

  test('refuses new requests at its limit, and removes none before its deadline', () => {
    const recent = new RecentRequests();
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 7 });
    for (let low = 0; low < MAX_REQUESTS_PER_PEER; low++)
      expect(recent.add(request(low), 5_000, 0)).toBe(true);
    expect(recent.add(request(MAX_REQUESTS_PER_PEER), 5_000, 1_000)).toBe(false);
    expect(recent.find(request(0))).toBeDefined();
    expect(recent.add(request(MAX_REQUESTS_PER_PEER), 5_000, 7_000)).toBe(true);
    expect(recent.find(request(0))).toBeUndefined();
    recent.clear();
  });

  test('counts a purge to the budget of the turn', async () => {
    let clock = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    onTestFinished(() => void vi.restoreAllMocks());
    await nextTurn();
    const peers = [new RecentRequests(), new RecentRequests()];
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 7 });
    for (const peer of peers)
      for (let low = 0; low < MAX_REQUESTS_PER_PEER; low++) peer.add(request(low), 5_000, 0);
    await nextTurn();
    for (const peer of peers) {
      expect(isTurnOver()).toBe(false);
      // By the fake clock, the turn is over before the second purge ends.
      peer.add(request(MAX_REQUESTS_PER_PEER), 5_000, 1_000);
      clock += 15;
    }
    peers[0]?.add(request(MAX_REQUESTS_PER_PEER), 5_000, 2_000);
    expect(isTurnOver()).toBe(true);
    await nextTurn();
    expect(isTurnOver()).toBe(false);
    for (const peer of peers) peer.clear();
  });

  test('remembers requests whose sequences have the same low half', () => {
    const recent = new RecentRequests();
    const request = (high: number) => ({ sequenceLow: 5, sequenceHigh: high });
    for (let high = 0; high < 5_000; high++) {
      expect(recent.add(request(high), 5_000, 0)).toBe(true);
      recent.setAnswer(request(high), new Uint8Array(4));
    }
    expect(recent.size).toBe(5_000);
    expect(recent.find(request(0))?.answer).toHaveLength(4);
    for (let high = 5_000; high < 9_000; high++) recent.add(request(high), 5_000, 20_000);
    expect(recent.size).toBe(4_000);
    recent.clear();
  });

  test('guarantees 64 requests to each of many peers, and makes room when one peer ends', () => {
    // 13 * 65,536 requests of 160 bytes are just above 128 MiB.
    const peers = Array.from({ length: 14 }, () => new RecentRequests());
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 0 });
    const counts = peers.map((recent) => {
      let count = 0;
      while (recent.add(request(count), 60_000, 0)) count++;
      return count;
    });
    expect(counts).toEqual([
      ...Array(12).fill(MAX_REQUESTS_PER_PEER),
      838_861 - 12 * MAX_REQUESTS_PER_PEER,
      64,
    ]);
    peers[0]?.clear();
    expect(peers[13]?.add(request(64), 60_000, 0)).toBe(true);
    for (const recent of peers) recent.clear();
  });

  test('removes expired requests of few and of all peers when these have 128 MiB', async () => {
    // 839 peers with as many requests as cause no purge of the peer itself.
    const others = Array.from({ length: 839 }, () => new RecentRequests());
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 0 });
    for (const other of others)
      for (let low = 0; low < 1_000; low++) other.add(request(low), 5_000, 0);
    const recent = new RecentRequests();
    let count = 0;
    while (recent.add(request(count), 5_000, 0)) count++;
    expect(count).toBe(64);
    // All requests have expired, but no other peer sends anything.
    expect(recent.add(request(64), 5_000, 7_000)).toBe(true);
    await until(() => others.every(({ size }) => size === 0), 'the removal of all requests');
    for (let low = 65; low < 1_000; low++)
      expect(recent.add(request(low), 5_000, 7_000)).toBe(true);
    for (const each of [recent, ...others]) each.clear();
  });

  test('keeps 8 KiB of answers for each peer when all peers together have 128 MiB', () => {
    const answer = new Uint8Array(4_000);
    const peers = Array.from({ length: 200 }, () => new RecentRequests());
    const ids = Array.from({ length: 252 }, (_, low) => ({ sequenceLow: low, sequenceHigh: 0 }));
    const counts = peers.map((recent) => {
      for (const id of ids) {
        recent.add(id, 60_000, 0);
        recent.setAnswer(id, answer);
      }
      return ids.filter((id) => recent.find(id)?.answer !== undefined).length;
    });
    expect(counts[0]).toBe(252);
    expect(counts.at(-1)).toBe(1);
    expect(peers.at(-1)?.size).toBe(64);
    for (const recent of peers) recent.clear();
    const [first] = peers as [RecentRequests];
    for (const id of ids) {
      first.add(id, 60_000, 0);
      first.setAnswer(id, answer);
    }
    expect(ids.every((id) => first.find(id)?.answer !== undefined)).toBe(true);
    first.clear();
  });
});
