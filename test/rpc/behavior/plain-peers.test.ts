/** Plain peers, such as Go programs, and extended peers. */
import { expect } from 'vitest';
import { type Channel, RpcError } from '../../../src/rpc/index.js';
import { channelOf, TestService } from '../../fixtures/rpc.js';
import { testInEveryEnvironment } from '../../fixtures/rpc-environments.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { rejection } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

testInEveryEnvironment({
  async 'both sides learn without a call that the other one is extended'(environment) {
    await using pair = await environment.rig();
    const [clientChannel, serverChannel] = [
      await channelOf(pair.client),
      await channelOf(pair.server),
    ];
    await until(
      () => clientChannel.extended !== undefined && serverChannel.extended !== undefined,
      'both sides know',
    );
    expect([clientChannel.extended, serverChannel.extended]).toEqual([true, true]);
    expect([clientChannel.peer, pair.client.address]).toEqual([
      pair.server.address,
      pair.server.address,
    ]);
  },

  async 'an extended client gets serviceId 2 in answers and heartbeats'(environment) {
    await using pair = await environment.rig();
    await using peer = await environment.rawPeer(pair.server.address);
    await peer.send(
      frameBytes({ command: 1, serviceId: 1 }),
      environment.request('Add', 2, { serviceId: 1 }),
      environment.request('Err', 2, { serviceId: 1 }),
    );
    expect((await peer.frames.take(3)).map(({ serviceId }) => serviceId)).toEqual([2, 2, 2]);
  },

  async 'a plain client gets its own serviceId in answers, and gets no calls of the server'(
    environment,
  ) {
    await using pair = await environment.rig();
    await using peer = await environment.rawPeer(pair.server.address);
    await peer.send(
      frameBytes({ command: 1, sequence: 9n }),
      environment.request('Add', 2),
      environment.request('Add', 2, { serviceId: 7 }),
    );
    expect(
      (await peer.frames.take(3)).map(({ command, serviceId }) => [command, serviceId]),
    ).toEqual([
      [2, 0],
      [4, 0],
      [4, 7],
    ]);
    const channel = [...pair.server.channels].find(({ extended }) => extended === false) as Channel;
    expect(
      await rejection(channel.stub(TestService, { codec: environment.codec }).add({})),
    ).toMatchObject({ code: 'FAILED_PRECONDITION', unsent: true });
    expect(
      await rejection(channel.stub(TestService, { codec: environment.codec }).event({})),
    ).toMatchObject({ code: 'FAILED_PRECONDITION', unsent: true });
    await peer.send(environment.request('Add', 2));
    expect((await peer.frames.next()).command).toBe(4);
    expect(peer.frames.unread).toEqual([]);
  },

  async 'a plain client gets no goaway'(environment) {
    await using pair = await environment.rig();
    await using peer = await environment.rawPeer(pair.server.address);
    await peer.send(frameBytes({ command: 1 }));
    await peer.frames.next();
    await pair.server.close();
    await peer.end();
    expect(peer.frames.unread).toEqual([]);
  },

  async 'the answer to a call without a reply is a header only, also when the call fails'(
    environment,
  ) {
    await using pair = await environment.rig();
    await using peer = await environment.rawPeer(pair.server.address);
    await peer.send(
      environment.request('Add', 3, { sequence: 1n }),
      environment.request('Err', 3, { sequence: 3n }),
      environment.request('Add', 3, { sequence: 5n, body: Buffer.from([0xff]) }),
    );
    for (const [sequence, code] of [
      [1n, 0],
      [3n, 1],
      [5n, 1],
    ]) {
      const answer = await peer.frames.next();
      expect([
        answer.command,
        answer.sequence,
        answer.code,
        answer.packageLength,
        answer.bytes.subarray(32).toString('hex'),
      ]).toEqual([4, sequence, code, 0, '']);
    }
  },

  async 'an answer has the fields of the extension'(environment) {
    await using pair = await environment.rig({
      handlers: { err: () => Promise.reject(new RpcError('NOT_FOUND', 'no')) },
    });
    await using peer = await environment.rawPeer(pair.server.address);
    await peer.send(environment.request('Err', 2));
    const { head } = await peer.frames.next();
    expect(head.toString('hex')).toBe(
      environment.codec === 'json'
        ? Buffer.from('{"Error":"no","Code":5}').toString('hex')
        : '0a026e6f5005',
    );
  },
});
