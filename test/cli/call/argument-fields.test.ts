/** Fields of an argument that its Protobuf message does not have. */
import { describe, expect, test } from 'vitest';
import { checkFields } from '../../../src/cli/call/argument-fields.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { serveGreeter } from '../greeter-servers.js';
import { getty } from '../run-getty.js';

noLeaks();

const ORDER = { type: 'shop.Order', fields: [{ name: 'amount' }, { name: 'item_count' }] };

describe('checkFields()', () => {
  test.each([
    [{ amount: 1, item_count: 2 }],
    [{ itemCount: 2 }],
    [{ '[shop.extension]': 1 }],
    [{}],
    [undefined],
    [[1]],
    ['text'],
  ])('accepts %j', (value) => {
    expect(() => checkFields(ORDER, value)).not.toThrow();
  });

  test('accepts anything where the fields are not known, or JSON has other ones', () => {
    const value = { amuont: 1 };
    expect(() => checkFields({}, value)).not.toThrow();
    expect(() => checkFields({ type: 'T' }, value)).not.toThrow();
    const struct = { type: 'google.protobuf.Struct', fields: [{ name: 'fields' }] };
    expect(() => checkFields(struct, value)).not.toThrow();
  });

  test('names the field that was meant, or all of them', () => {
    expect(() => checkFields(ORDER, { amuont: 1 })).toThrow(
      'the message shop.Order has no field "amuont"; did you mean amount?',
    );
    expect(() => checkFields(ORDER, { zzzzzz: 1 })).toThrow('; its fields: amount, item_count');
    const many = { type: 'T', fields: Array.from({ length: 30 }, (_, at) => ({ name: `f${at}` })) };
    expect(() => checkFields(many, { zzzzzz: 1 })).toThrow(/f19 …$/);
  });
});

test.each([[[]], [['--codec', 'protobuf']]])(
  'getty call refuses a field that the Protobuf message of the server lacks: %j',
  async (codec) => {
    await using server = await serveGreeter();
    const args = ['call', server.address, 'TestService/Add', '{"A":1,"BB":2}', ...codec];
    expect(await getty(...args)).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(
        /^getty call: JSON: the message \w+ has no field "BB"; (did you mean B\?|its fields: A, B)\n$/,
      ),
    });
  },
);
