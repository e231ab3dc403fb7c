/**
 * Every function that takes options refuses an unknown name, names the nearest option, and does
 * nothing else.
 */
import { describe, expect, test } from 'vitest';
import * as rpc from '../../src/rpc/index.js';
import { connect, lines, type SessionSetup, serve } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { DECLARED_OPTIONS } from './declared-options.js';
import {
  connections,
  FREE,
  FUNCTIONS_WITH_OPTIONS,
  Greeter,
  refusal,
  registryCalls,
  setup,
  useUnusedServer,
} from './option-functions.js';

noLeaks();
useUnusedServer();

/** The name with its last letter twice, and in capitals. */
const misspelled = (name: string): string[] => [`${name}${name.at(-1)}`, name.toUpperCase()];

/** Options of a client that consume() sets itself and does not suggest. */
const SET_BY_CONSUME = ['signal', 'onReady', 'onResponsive'];

test('the list has every type of options that programs can import', () => {
  expect([...DECLARED_OPTIONS.keys()].filter((name) => name !== 'EventListener').sort()).toEqual(
    Object.keys(FUNCTIONS_WITH_OPTIONS).sort(),
  );
});

describe.each(Object.entries(FUNCTIONS_WITH_OPTIONS))('%s', (type, functions) => {
  const names = DECLARED_OPTIONS.get(type) ?? [];
  const tested = type === 'RegistryOptions' ? ['ttl', 'sessionTimeout'] : names;

  test.each(Object.entries(functions))(
    '%s refuses each misspelled name, and does nothing',
    async (functionName, passOptions) => {
      expect(tested.length).toBeGreaterThan(0);
      for (const name of tested) {
        for (const wrong of misspelled(name)) {
          const error = await refusal(() => passOptions({ [wrong]: undefined }));
          expect(error, wrong).toMatchObject({ code: 'BAD_OPTION' });
          const isNamed = !(functionName === 'consume()' && SET_BY_CONSUME.includes(name));
          expect(error.message).toMatch(
            isNamed
              ? new RegExp(`^${wrong} is not an option of .*; did you mean ${name}\\?$`)
              : wrong,
          );
        }
      }
      expect(connections).toBe(0);
      expect(registryCalls).toEqual([]);
    },
  );
});

describe('listeners', () => {
  const events = DECLARED_OPTIONS.get('EventListener') ?? [];
  const plainObject = (wrong: string): object => ({ onMessage() {}, [wrong]() {} });
  const instance = (wrong: string): object => {
    const Own = class {
      onMessage(): void {}
    };
    Object.defineProperty(Own.prototype, wrong, { value() {}, enumerable: false });
    return new Own();
  };

  test.each([
    ['an object', plainObject],
    ['an instance of a class', instance],
  ])('a listener that is %s with a misspelled event is refused', async (_, listenerOf) => {
    expect(events.length).toBeGreaterThan(4);
    for (const event of events) {
      for (const wrong of [
        event.toLowerCase(),
        `${event}${event.at(-1)}`,
        event.replace(/(.)(.)$/, '$2$1'),
      ]) {
        const error = await refusal(() =>
          serve(FREE, {
            ...setup,
            listener: listenerOf(wrong) as SessionSetup<string>['listener'],
          }),
        );
        expect(error).toMatchObject({
          code: 'BAD_OPTION',
          message: `${wrong} is not a method of the listener; did you mean ${event}?`,
        });
      }
    }
  });

  test('a listener, a codec and handlers may have further methods and fields', async () => {
    class Own {
      received = 0;
      onmessages = 5;
      onMessage(): void {}
      _onMessage(): void {}
      onMessageOf(): void {}
      onDrained(): void {}
      get onmessage(): never {
        throw new Error('a getter must not run');
      }
      [Symbol.iterator](): void {}
    }
    await using _server = await serve('memory://', {
      codec: { ...lines(), Read() {}, state: 1 },
      listener: new Own(),
    } as SessionSetup<string>);
    rpc.implement(Greeter, {
      hello: (name: string) => name,
      tell() {},
      async *count() {},
      sum: () => 1,
      Hello() {},
    } as never);
  });
});

test('inherited names and symbols are ignored', async () => {
  const options = Object.assign(Object.create({ inherited: 1 }), {
    [Symbol('own')]: 1,
    maxSessions: 5,
  });
  await using server = await serve('memory://', setup, options);
  await using _ = await connect(server.address, setup, Object.create({ conections: 1 }));
});
