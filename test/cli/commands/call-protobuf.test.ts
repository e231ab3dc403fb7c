/** `getty call --proto`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { file_test_service } from '../../../demo/test_service_pb.js';
import { contract, type HandlersOf, implement } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { file_kinds, Kinds } from '../../fixtures/protobuf/kinds_pb.js';
import { testService } from '../../fixtures/rpc.js';
import { Inbox } from '../../fixtures/waiting.js';
import { writeDescriptorSet } from '../call/descriptor-files.js';
import { serveAsGo } from '../call/go-server.js';
import { serveGreeter, temporaryFolder } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

const KindsContract = contract(Kinds);

describe('getty call --proto', () => {
  test('calls a server of Go in Protobuf', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    await using server = await serveAsGo();
    const args = ['TestService/Add', '{"A":1,"B":10}', '--proto', proto, '--json'];
    const { stdout, stderr } = await getty('call', server.address, ...args);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ Sum: 11 });
  });

  test('calls in the codec of --codec, and writes default values too', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    const codecs = new Inbox<string>('a codec');
    await using server = await serveGreeter({}, [
      testService({
        add: ({ A, B }, { codec }) => {
          codecs.push(codec);
          return { Sum: A + B };
        },
      }),
    ]);
    const args = ['TestService/Add', '--proto', proto, '--json'];
    expect((await getty('call', server.address, ...args)).stdout).toBe('{"Sum":0}\n');
    const inJson = await getty('call', server.address, ...args, '--codec', 'json');
    expect(inJson.stdout).toBe('{"Sum":0}\n');
    expect(codecs.all).toEqual(['protobuf', 'json']);
  });

  test('calls a method without a reply with --kind', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    const events = new Inbox<string>('an event');
    await using server = await serveGreeter({}, [
      testService({
        event: ({ A }) => {
          events.push(A);
        },
      }),
    ]);
    const args = ['TestService/Event', '{"A":"hi"}', '--proto', proto, '--kind', 'oneway'];
    expect((await getty('call', server.address, ...args)).code).toBe(0);
    expect(await events.next()).toBe('hi');
  });

  test('streams in both directions, and takes a service with or without its package', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_kinds);
    const handlers: HandlersOf<typeof KindsContract> = {
      double: ({ value }) => ({ value: 2 * value }),
      note: () => ({}),
      settle: () => ({}),
      async *count({ value: to }) {
        for (let value = 1; value <= to; value++) yield { value };
      },
      async sum(numbers) {
        let sum = 0;
        for await (const { value } of numbers) sum += value;
        return { value: sum };
      },
      async *chat(texts) {
        for await (const { text } of texts) yield { text: text.toUpperCase() };
      },
    };
    const short = contract(Kinds, { name: 'Kinds' });
    await using server = await serveGreeter({}, [
      implement(KindsContract, handlers),
      implement(short, handlers),
    ]);
    const args = ['--proto', proto];
    for (const service of [Kinds.typeName, 'Kinds']) {
      const count = await getty(
        'call',
        server.address,
        `${service}/Count`,
        '{"value":"2"}',
        ...args,
      );
      expect(count).toMatchObject({ stdout: '{"value":1}\n{"value":2}\n', stderr: '' });
      const sum = startGetty(['call', server.address, `${service}/Sum`, ...args, '--json']);
      sum.send('{"value":40}');
      sum.send('{"value":2}');
      sum.endInput();
      expect((await finished(sum)).stdout).toBe('{"value":42}\n');
      const chat = startGetty(['call', server.address, `${service}/Chat`, ...args]);
      chat.send('{"text":"hi"}');
      expect(await chat.lines.next()).toBe('{"text":"HI"}');
      chat.send('{"texd":"hi"}');
      expect((await finished(chat)).stderr).toMatch(
        /line 2 of standard input: .*"texd" is unknown/,
      );
    }
  });

  test('reports what does not fit the descriptors', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    const empty = join(folder.path, 'text');
    await writeFile(empty, 'message X {}');
    await using server = await serveGreeter({});
    for (const [args, message] of [
      [['TestService/Add', '{"A":"x"}', '--proto', proto], /JSON: .*AddRequest.*A/],
      [['TestService/Add', '{"C":1}', '--proto', proto], /JSON: .*"C" is unknown/],
      [['TestService/Ad', '{}', '--proto', proto], /has no method "Ad".*did you mean Add\?/],
      [['TestServic/Add', '{}', '--proto', proto], /got "TestServic".*did you mean TestService\?/],
      [['TestService/Add', '{}', '--proto', empty], /is no descriptor set/],
      [['TestService/Add', '{}', '--proto', proto, '--kind', 'duplex'], /--kind: got duplex/],
    ] as const) {
      const { code, stderr } = await getty('call', server.address, ...args);
      expect(stderr).toMatch(message);
      expect(stderr.split('\n')).toHaveLength(2);
      expect(code).toBe(2);
    }
  });
});
