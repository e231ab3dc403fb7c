/**
 * Limits the answers of etcd before Connect decodes them. A message within another one takes two
 * bytes of an answer and about 100 bytes of memory, so a limit of bytes is not enough.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { UniversalClientFn } from '@connectrpc/connect/protocol';
import { messageOf } from '../../../core/errors.js';
import { nextTurn, spend, unitsOf } from '../../../core/turn.js';
import { checkObjectCount, isOverLimit } from '../../../rpc/codecs/protobuf/object-counter.js';
import { Auth, KV, Lease, Watch } from '../proto/rpc_pb.js';

/** A page of entries that is larger is requested again in smaller parts. */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/**
 * Of answers without values, of which many may be in flight. Most have less than 1 KiB. The largest
 * has 64 keys (MAX_FIND of entry-requests.ts) of 16 KiB (entry-key.ts).
 */
export const MAX_SMALL_ANSWER_BYTES = 1.25 * 1024 * 1024;
/**
 * As checkObjectCount() counts. A page of 8,000 entries counts about half of it, and so does an
 * answer of a watch with 1.5 MiB of small entries, where etcd divides it.
 */
export const MAX_ANSWER_OBJECTS = 400_000;
/** Flags and length before each message; the format of gRPC. */
const PREFIX_BYTES = 5;
/** Units of core/turn.ts for a message, besides those of its bytes: the clock is read for each. */
const MESSAGE_UNITS = 64;

interface AnswerLimit {
  readonly schema: DescMessage;
  readonly maxBytes: number;
}

/** The methods whose answers have values. A transaction reads the keys of a few entries. */
const WITH_VALUES: readonly object[] = [KV.method.range, Watch.method.watch];
const LIMITS: ReadonlyMap<string, AnswerLimit> = new Map(
  [KV, Lease, Watch, Auth].flatMap(({ typeName, methods }) =>
    methods.map((method) => {
      const maxBytes = WITH_VALUES.includes(method) ? MAX_ANSWER_BYTES : MAX_SMALL_ANSWER_BYTES;
      return [`/${typeName}/${method.name}`, { schema: method.output, maxBytes }] as const;
    }),
  ),
);

/** The same HTTP client. The bodies of its answers fail with a ConnectError above the limits. */
export function limitAnswers(client: UniversalClientFn): UniversalClientFn {
  return async (request) => {
    const response = await client(request);
    const limit = LIMITS.get(new URL(request.url).pathname);
    if (limit === undefined) return response;
    return { ...response, body: checkedMessages(limit, response.body) };
  };
}

/**
 * The bytes of a message that is not whole, in one buffer. Each chunk by itself would take about 50
 * bytes of memory more, and a server may send one byte in each.
 */
class IncompleteMessage {
  #buffer = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** `needed`: the bytes of the whole message, if that is known. */
  append(chunk: Uint8Array, needed: number): void {
    const end = this.#length + chunk.length;
    if (end > this.#buffer.length) {
      const size = Math.max(end, Math.min(needed, 2 * end));
      const grown = Buffer.allocUnsafeSlow(size);
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length = end;
  }

  /** Returns all bytes, and is empty afterwards. */
  take(): Buffer {
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#buffer = Buffer.alloc(0);
    this.#length = 0;
    return bytes;
  }
}

/** Yields whole messages. What is left at the end is incomplete, which Connect reports. */
async function* checkedMessages(
  { schema, maxBytes }: AnswerLimit,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const incomplete = new IncompleteMessage();
  /** The bytes of the next message with its prefix, or of the prefix. */
  let needed = PREFIX_BYTES;
  for await (const chunk of body) {
    if (spend(1)) await nextTurn();
    incomplete.append(chunk, needed);
    if (incomplete.length < needed) continue;
    let bytes = incomplete.take();
    for (;;) {
      needed = PREFIX_BYTES;
      if (bytes.length < needed) break;
      const length = bytes.readUInt32BE(1);
      if (length > maxBytes)
        return await fail(`has ${length} bytes, at most ${maxBytes} are accepted`);
      needed += length;
      if (bytes.length < needed) break;
      if (spend(unitsOf(needed) + MESSAGE_UNITS)) await nextTurn();
      await check(schema, bytes.subarray(PREFIX_BYTES, needed));
      yield bytes.subarray(0, needed);
      bytes = bytes.subarray(needed);
    }
    if (bytes.length > 0) incomplete.append(bytes, needed);
  }
  if (incomplete.length > 0) yield incomplete.take();
}

async function check(schema: DescMessage, message: Buffer): Promise<void> {
  try {
    checkObjectCount(schema, message, 0, message.length, MAX_ANSWER_OBJECTS);
  } catch (error) {
    if (isOverLimit()) await fail(`has too many fields: more than ${MAX_ANSWER_OBJECTS} objects`);
    await fail(`does not parse: ${messageOf(error)}`, Code.Internal);
  }
}

/** Throws in another turn: Node.js loops forever if a stream is reset within its HTTP/2 parser. */
async function fail(what: string, code = Code.ResourceExhausted): Promise<never> {
  await nextTurn();
  throw new ConnectError(`an answer ${what}`, code);
}
