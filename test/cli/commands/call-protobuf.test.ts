/** `getty call --proto`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { file_test_service } from '../../../demo/test_service_pb.js';
import { contract, type HandlersOf, implement, type Service } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { file_kinds, Kinds } from '../../fixtures/protobuf/kinds_pb.js';
import { testService } from '../../fixtures/rpc.js';
import { Inbox } from '../../fixtures/waiting.js';
import { writeDescriptorSet } from '../call/descriptor-files.js';
import { serveAsGo } from '../call/go-server.js';
import { nestedService } from '../call/nested-service.js';
import { openFleet, serveGreeter, temporaryFolder } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

const KindsContract = contract(Kinds);

describe('getty call of a service in Protobuf', () => {
  /** The service offers Protobuf alone. Its handlers push the codec of each call. */
  const protobufOnly = (codecs: Inbox<string>): Service => ({
    ...nestedService((codec) => codecs.push(codec)),
    contract: { ...nestedService().contract, codecs: ['protobuf'] },
  });
  const METHOD = 'test.nested.Orders/Put';

  test('encodes the argument by the descriptors that the server tells', async () => {
    const codecs = new Inbox<string>('a codec');
    await using server = await serveGreeter({ introspection: true }, [protobufOnly(codecs)]);
    const argument = '{"item":{"name":"tea"},"color":"BLUE","id":"7"}';
    const { code, stdout, stderr } = await getty(
      'call',
      server.address,
      METHOD,
      argument,
      '--json',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ item: { name: 'tea' }, color: 'BLUE', id: '7' });
    const wrong = await getty('call', server.address, METHOD, '{"nope":1}');
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/JSON: .*has no field "nope".*\n$/);
    const items = await getty('call', server.address, 'test.nested.Orders/Watch', '{"id":"2"}');
    expect(items.stdout).toBe('{"name":"0","size":0}\n{"name":"1","size":0}\n');
    expect(codecs.all).toEqual(['protobuf', 'protobuf']);
  });

  test('is in Protobuf with --codec if the service has JSON too', async () => {
    const codecs = new Inbox<string>('a codec');
    const service = nestedService((codec) => codecs.push(codec));
    await using server = await serveGreeter({ introspection: true }, [service]);
    for (const args of [[], ['--codec', 'protobuf'], ['--codec', 'json']])
      expect((await getty('call', server.address, METHOD, '{}', ...args)).code).toBe(0);
    expect(codecs.all).toEqual(['json', 'protobuf', 'json']);
  });

  test('finds a node of a registry that has no JSON', async () => {
    const codecs = new Inbox<string>('a codec');
    await using fleet = openFleet();
    await fleet.provide('a', { services: [protobufOnly(codecs)] });
    const { code, stdout } = await getty('call', fleet.url, METHOD, '{"id":"7"}');
    expect({ code, stdout: JSON.parse(stdout) }).toMatchObject({ code: 0, stdout: { id: '7' } });
    const load = await getty('load', fleet.url, METHOD, '{}', '--in-flight', '1', '--for', '20ms');
    expect(load.code).toBe(0);
  });

  test('says what to do if the server tells no descriptors', async () => {
    const service = protobufOnly(new Inbox('a codec'));
    const older = { ...service, contract: { ...service.contract, files: undefined } };
    await using server = await serveGreeter({ introspection: true }, [older]);
    for (const args of [[], ['--codec', 'protobuf']]) {
      const { code, stderr } = await getty('call', server.address, METHOD, '{}', ...args);
      expect(code).toBe(12);
      expect(stderr).toMatch(/the server does not tell .*\(give its .* with --proto FILE.*\)\n$/);
    }
    await using silent = await serveGreeter({}, [service]);
    const { code, stderr } = await getty('call', silent.address, METHOD, '--codec', 'protobuf');
    expect(code).toBe(12);
    expect(stderr).toMatch(/does not tell the descriptors .*\(give them with --proto FILE/);
  });
});

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
        /line 2 of standard input: .*has no field "texd"/,
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
      [['TestService/Add', '{"C":1}', '--proto', proto], /JSON: .*has no field "C"/],
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
