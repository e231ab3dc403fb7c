/** A service with each kind of method, and tests that run over each transport in both codecs. */
import { describe, test } from 'vitest';
import {
  type CodecName,
  connect,
  contract,
  type Handlers,
  implement,
  type RpcClient,
  type RpcServer,
  type Stub,
  serve,
} from '../../../src/rpc/index.js';
import { clientEnd, serverEnd } from '../../fixtures/channel-addresses.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as descriptor } from '../../fixtures/protobuf/kinds_pb.js';
import { TRANSPORTS, type TransportRow } from '../../fixtures/transports.js';

export const Kinds = contract(descriptor, { oneway: ['Note'], noReply: ['Settle'] });
type Specs = NonNullable<(typeof Kinds)['specs']>;
type KindHandlers = Handlers<Specs>;

export async function* numbers(from: number, to: number): AsyncGenerator<{ value: number }> {
  for (let value = from; value <= to; value++) yield { value };
}

const HANDLERS: KindHandlers = {
  double: ({ value }) => ({ value: value * 2 }),
  note: () => ({}),
  settle: () => ({}),
  count: ({ value }) => numbers(1, value),
  async sum(inputs) {
    let value = 0;
    for await (const input of inputs) value += input.value;
    return { value };
  },
  async *chat(inputs) {
    for await (const { text } of inputs) yield { text: `you said ${text}` };
  },
};

interface Pair extends AsyncDisposable {
  readonly server: RpcServer;
  readonly client: RpcClient;
  readonly stub: Stub<Specs>;
}

interface PairOptions {
  readonly handlers?: Partial<KindHandlers>;
  /** The handlers of the client, which the server calls. */
  readonly clientHandlers?: Partial<KindHandlers>;
  readonly streamWindow?: number;
  readonly maxMessageBytes?: number;
}

/** A server and a client over the transport of `row`. */
export async function pairOf(
  row: TransportRow,
  codec: CodecName,
  { handlers, clientHandlers, streamWindow, maxMessageBytes }: PairOptions = {},
): Promise<Pair> {
  const options = {
    session: { ...row.options, ...(maxMessageBytes && { maxMessageBytes }) },
    ...(streamWindow && { streamWindow }),
  };
  const server = await serve(
    serverEnd(row.free()),
    [implement(Kinds, { ...HANDLERS, ...handlers })],
    {
      ...options,
      ...row.serverOptions,
    },
  );
  const services = [implement(Kinds, { ...HANDLERS, ...clientHandlers })];
  const client = await connect(clientEnd(server.address), {
    ...options,
    ...row.clientOptions,
    reconnect: false,
    services,
  });
  return {
    server,
    client,
    stub: client.stub(Kinds, { codec }),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close()]);
    },
  };
}

export async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const message of messages) collected.push(message);
  return collected;
}

export const valuesOf = (messages: readonly { value: number }[]): number[] =>
  messages.map(({ value }) => value);

/** UDP has no streams, because datagrams arrive in any order. */
export const hasStreams = ({ name }: TransportRow): boolean => name !== 'udp';

/** A test of one transport and one codec. */
type Behavior = (row: TransportRow, codec: CodecName) => Promise<void>;

const NEEDS_ORDER = 'streams need an ordered transport';
/** The tests that UDP cannot run, with the reason. Other tests skip their streams on UDP. */
const SKIPPED_ON_UDP: Readonly<Record<string, string>> = {
  'reads a server stream': NEEDS_ORDER,
  'sends a client stream': NEEDS_ORDER,
  'exchanges the messages of a duplex stream one at a time': NEEDS_ORDER,
  'ends the stream at the server when the loop breaks': NEEDS_ORDER,
  'cancels the call when its input fails, with the reason': NEEDS_ORDER,
  'fails every call at once when the session is lost': 'UDP does not report a lost session',
  'blocks only the stream of a slow reader': NEEDS_ORDER,
  'blocks only the stream that the server does not read': NEEDS_ORDER,
  'runs many calls of each kind at once': NEEDS_ORDER,
};

/** Runs `behaviors` over each transport in both codecs. */
export function describeOverTransports(behaviors: Readonly<Record<string, Behavior>>): void {
  describe.each(TRANSPORTS)('$name', (row) => {
    noLeaks();
    describe.each(['json', 'protobuf'] as const)('%s', (codec) => {
      for (const [name, run] of Object.entries(behaviors)) {
        const reason = row.name === 'udp' ? SKIPPED_ON_UDP[name] : undefined;
        if (reason === undefined) test(name, () => run(row, codec));
        else test.skip(`${name} (${reason})`, () => {});
      }
    });
  });
}
