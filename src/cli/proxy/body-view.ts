/** Shows the bodies of frames as JSON. */
import {
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
  toJson,
} from '@bufbuild/protobuf';
import type { FrameDescription } from '../../rpc/wire/frame-description.js';
import type { Direction } from '../../testing/proxy/index.js';
import { parseJson } from '../../transport/codecs/json-text.js';
import type { ObservedCall } from './open-calls.js';
import type { TrafficRecord } from './traffic-record.js';

export type ShownBody = Pick<TrafficRecord, 'body' | 'bodyText'>;

interface MessageTypes {
  readonly input: DescMessage;
  readonly output: DescMessage;
}

export class BodyView {
  /** The most characters of a body. */
  readonly #limit: number;
  readonly #registry: FileRegistry | undefined;
  /** By `service/method`: with the full name of the service, and without its package. */
  readonly #types = new Map<string, MessageTypes>();

  /** `limit`: the most characters of a body; 0: bodies are not shown. */
  constructor(limit: number, registry: FileRegistry | undefined) {
    this.#limit = limit;
    this.#registry = registry;
    for (const type of registry ?? []) if (type.kind === 'service') this.#addService(type);
  }

  #addService({ typeName, methods }: DescService): void {
    const shortName = typeName.slice(typeName.lastIndexOf('.') + 1);
    for (const { name, input, output } of methods) {
      this.#types.set(`${typeName}/${name}`, { input, output });
      // Two services may have one short name. A service without a package has precedence.
      const short = `${shortName}/${name}`;
      if (!this.#types.has(short)) this.#types.set(short, { input, output });
    }
  }

  /**
   * The body of a frame that passed in `direction`. `call`: undefined if its request is not known.
   * Does not throw.
   */
  show(frame: FrameDescription, call: ObservedCall | undefined, direction: Direction): ShownBody {
    if (this.#limit === 0 || frame.bodyBytes === 0) return {};
    if (frame.codec === 'protobuf') return this.#protobuf(frame, call, direction);
    const { body, bodyBytes } = frame;
    // A character has at most four bytes.
    const text = body.toString('utf8', 0, Math.min(body.length, this.#limit * 4));
    if (text.length > this.#limit || body.length < bodyBytes) return this.#cut(text);
    try {
      // No call has arrays in more arrays than this permits. JSON.stringify(), which writes the
      // record, may be recursive.
      const value = parseJson(body, 0, body.length, Number.MAX_SAFE_INTEGER);
      return { body: value };
    } catch {
      return { bodyText: text };
    }
  }

  #cut(text: string): ShownBody {
    return { bodyText: `${text.slice(0, this.#limit - 1)}…` };
  }

  #protobuf(
    { body, bodyBytes }: FrameDescription,
    call: ObservedCall | undefined,
    direction: Direction,
  ): ShownBody {
    const types = call && this.#types.get(`${call.service}/${call.method}`);
    const type = call?.direction === direction ? types?.input : types?.output;
    if (type === undefined || body.length < bodyBytes) return this.#hex(body, bodyBytes);
    try {
      const registry = this.#registry;
      const value = toJson(type, fromBinary(type, body), registry && { registry });
      const text = JSON.stringify(value);
      return text.length > this.#limit ? this.#cut(text) : { body: value };
    } catch {
      return this.#hex(body, bodyBytes);
    }
  }

  #hex(body: Buffer, bodyBytes: number): ShownBody {
    const text = body.toString('hex', 0, Math.ceil(this.#limit / 2));
    return bodyBytes * 2 > this.#limit ? this.#cut(`hex ${text}`) : { bodyText: `hex ${text}` };
  }
}
