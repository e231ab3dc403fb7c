/** The kinds of calls that consumers make: each method, and ways to end a call early. */
import type { Consumer } from '../../src/micro/index.js';
import type { CallOptions, CodecName } from '../../src/rpc/index.js';
import { MESSAGES_PER_STREAM, SHOPS, type Version } from './services.js';

/** How one call is made. */
export interface Making {
  readonly consumer: Consumer;
  readonly version: Version;
  readonly codec: CodecName;
  readonly id: string;
  readonly options: CallOptions;
}

export interface Work {
  readonly name: string;
  readonly isIdempotent: boolean;
  /** It needs a transport with streams. */
  readonly isStream?: boolean;
  /** Its success says that the call is queued, not that it ran. */
  readonly isOneway?: boolean;
  /** Returns the answer, as the text that is expected for `id`. */
  readonly call: (making: Making) => Promise<string>;
  readonly expected: (id: string) => string;
}

const stubOf = ({ consumer, version, codec }: Making) => consumer.stub(SHOPS[version], { codec });

async function* itemsOf(id: string): AsyncGenerator<{ id: string; index: number }> {
  for (let index = 0; index < MESSAGES_PER_STREAM; index++) yield { id, index };
}

/** The messages as a text. `limit`: the reader leaves after so many messages. */
async function textOf(
  messages: AsyncIterable<{ id: string; index: number }>,
  limit = Number.POSITIVE_INFINITY,
): Promise<string> {
  const texts: string[] = [];
  for await (const { id, index } of messages) {
    texts.push(`${id}.${index}`);
    if (texts.length >= limit) break;
  }
  return texts.join(' ');
}

/** Messages that a reader takes before it leaves a stream. */
const EARLY_EXIT = 2;

function listText(length: number): (id: string) => string {
  return (id) => Array.from({ length }, (_, index) => `${id}.${index}`).join(' ');
}
const allItems = listText(MESSAGES_PER_STREAM);
const idText = (id: string): string => id;

function unaryWork(name: 'read' | 'order' | 'relay' | 'route', isIdempotent: boolean): Work {
  return {
    name,
    isIdempotent,
    call: async (making) => (await stubOf(making)[name]({ id: making.id }, making.options)).id,
    expected: idText,
  };
}

export const WORKS: readonly Work[] = [
  unaryWork('read', true),
  unaryWork('order', false),
  unaryWork('relay', false),
  unaryWork('route', true),
  {
    name: 'note',
    isIdempotent: false,
    isOneway: true,
    call: async (making) => {
      await stubOf(making).note({ id: making.id }, making.options);
      return making.id;
    },
    expected: idText,
  },
  {
    name: 'settle',
    isIdempotent: false,
    call: async (making) => {
      await stubOf(making).settle({ id: making.id }, making.options);
      return making.id;
    },
    expected: idText,
  },
  {
    name: 'browse',
    isIdempotent: true,
    isStream: true,
    call: (making) => textOf(stubOf(making).browse({ id: making.id }, making.options)),
    expected: allItems,
  },
  {
    name: 'list',
    isIdempotent: false,
    isStream: true,
    call: (making) => textOf(stubOf(making).list({ id: making.id }, making.options)),
    expected: allItems,
  },
  {
    name: 'list, left early',
    isIdempotent: false,
    isStream: true,
    call: (making) => textOf(stubOf(making).list({ id: making.id }, making.options), EARLY_EXIT),
    expected: listText(EARLY_EXIT),
  },
  {
    name: 'collect',
    isIdempotent: false,
    isStream: true,
    call: async (making) => (await stubOf(making).collect(itemsOf(making.id), making.options)).id,
    expected: allItems,
  },
  {
    name: 'chat',
    isIdempotent: false,
    isStream: true,
    call: (making) => textOf(stubOf(making).chat(itemsOf(making.id), making.options)),
    expected: allItems,
  },
];
