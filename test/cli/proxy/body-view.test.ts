/** The bodies of frames: JSON, Protobuf with a descriptor set, and what is neither. */
import { describe, expect, test } from 'vitest';
import { file_test_service } from '../../../demo/test_service_pb.js';
import { readDescriptorSet } from '../../../src/cli/call/descriptor-set.js';
import { BodyView, type ShownBody } from '../../../src/cli/proxy/body-view.js';
import type { ObservedCall } from '../../../src/cli/proxy/open-calls.js';
import { FrameScanner } from '../../../src/rpc/wire/frame-scanner.js';
import type { Direction } from '../../../src/testing/proxy/index.js';
import { frameBytes, PROTOBUF_CODEC, RECORDED } from '../../fixtures/rpc-frames.js';
import { writeDescriptorSet } from '../call/descriptor-files.js';
import { temporaryFolder } from '../greeter-servers.js';

async function descriptorSet() {
  await using folder = await temporaryFolder();
  return readDescriptorSet(await writeDescriptorSet(folder.path, file_test_service));
}

const callOf = (method: string, service = 'TestService'): ObservedCall => ({
  service,
  method,
  direction: 'toServer',
  startedAt: 0,
});

function shown(
  view: BodyView,
  bytes: Buffer,
  call?: ObservedCall,
  direction: Direction = 'toServer',
): ShownBody {
  let body: ShownBody = {};
  new FrameScanner({
    onFrame: (frame) => {
      body = view.show(frame, call, direction);
    },
    onOtherBytes: () => {},
  }).feed(Buffer.from(bytes));
  return body;
}

const item = (body: string | Buffer, codec = 1): Buffer => frameBytes({ command: 5, body, codec });

describe('JSON', () => {
  const view = new BodyView(100, undefined);

  test.each([
    ['{"a":[1]}', { body: { a: [1] } }],
    ['null', { body: null }],
    ['', {}],
    ['no JSON', { bodyText: 'no JSON' }],
    [`"${'x'.repeat(200)}"`, { bodyText: `"${'x'.repeat(98)}…` }],
  ])('%s', (body, expected) => {
    expect(shown(view, item(body))).toEqual(expected);
  });

  test.each([101, 30_000])('is text if arrays are nested in %i levels', (levels) => {
    const deep = '['.repeat(levels) + ']'.repeat(levels);
    expect(shown(new BodyView(65_536, undefined), item(deep))).toEqual({ bodyText: deep });
  });

  test('is not shown with the limit 0', () => {
    expect(shown(new BodyView(0, undefined), item('1'))).toEqual({});
  });

  test('is cut if the frame is larger than what is kept of it', () => {
    const { bodyText } = shown(new BodyView(65_536, undefined), item('7'.repeat(500_000)));
    expect(bodyText).toMatch(/^7{65535}…$/);
  });
});

describe('Protobuf', () => {
  const recorded = RECORDED.filter(({ codec, command }) => codec === 2 && command > 2);
  const bytesOf = (kind: number, method: string): Buffer => {
    const request = recorded.find(
      ({ command, headerHex = '' }) =>
        command === 3 &&
        Buffer.from(headerHex, 'hex').toString('latin1').includes(`\u0012\u0003${method}`),
    );
    const frame = recorded.find(
      ({ command, sequence }) => command === kind && sequence === request?.sequence,
    );
    return Buffer.from(frame?.frameHex ?? '', 'hex');
  };

  test('of Go is decoded with the types of the method', async () => {
    const view = new BodyView(100, await descriptorSet());
    const argument = shown(view, bytesOf(3, 'Add'), callOf('Add'));
    expect(argument).toEqual({ body: { A: expect.any(Number), B: expect.any(Number) } });
    const { A, B } = argument.body as { A: number; B: number };
    expect(shown(view, bytesOf(4, 'Add'), callOf('Add'), 'toClient')).toEqual({
      body: { Sum: A + B },
    });
  });

  test('is shown in hex without its types', async () => {
    const body = Buffer.from([8, 1]);
    const hex = { bodyText: 'hex 0801' };
    expect(shown(new BodyView(100, undefined), item(body, PROTOBUF_CODEC))).toEqual(hex);
    const view = new BodyView(100, await descriptorSet());
    expect(shown(view, item(body, PROTOBUF_CODEC))).toEqual(hex);
    expect(shown(view, item(body, PROTOBUF_CODEC), callOf('None'))).toEqual(hex);
    expect(shown(view, item(body, PROTOBUF_CODEC), callOf('__proto__', 'x'))).toEqual(hex);
  });

  test('is shown in hex if it is none of its type, and is cut', async () => {
    const view = new BodyView(8, await descriptorSet());
    const body = Buffer.alloc(100, 0xff);
    expect(shown(view, item(body, PROTOBUF_CODEC), callOf('Add'))).toEqual({
      bodyText: 'hex fff…',
    });
  });
});
