/** An etcd server whose pages and watch answers a test writes. */
import { once } from 'node:events';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  RangeRequestSchema,
  RangeResponseSchema,
  WatchResponseSchema,
} from '../../../src/registries/etcd/proto/rpc_pb.js';

type Page = MessageInitShape<typeof RangeResponseSchema>;
type WatchAnswer = MessageInitShape<typeof WatchResponseSchema>;

export interface Script {
  /** The next page of a list. `limit`: the requested entries. Default: no entries. */
  page?(limit: number): Page;
  /** Whether to refuse the next request for the revision. Default: no. */
  refusesRevision?(): boolean;
  /** The next answer of the watch. undefined: there is none. Default: none. */
  change?(): WatchAnswer | undefined;
}

const HEADER = { clusterId: 1n, memberId: 1n, revision: 10n };
const WATCH_ID = 1n;
/** The id of answers to progress requests. */
const PROGRESS_ID = -1n;
/** The status of gRPC. */
const RESOURCE_EXHAUSTED = 8;

/** A message with its prefix. */
function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function page(content: Page): Buffer {
  const answer = create(RangeResponseSchema, { header: HEADER, ...content } as Page);
  return framed(toBinary(RangeResponseSchema, answer));
}

function watchAnswer(content: WatchAnswer): Buffer {
  const all = { header: HEADER, watchId: WATCH_ID, ...content } as WatchAnswer;
  return framed(toBinary(WatchResponseSchema, create(WatchResponseSchema, all)));
}

export class ScriptedEtcd {
  readonly #script: Script;
  readonly #server = createServer();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** The pages and watch answers that were sent. */
  sent = 0;

  private constructor(script: Script) {
    this.#script = script;
    this.#server.on('session', (session) => {
      this.#sessions.add(session.on('error', () => {}));
    });
    this.#server.on('stream', (stream, headers) => this.#onStream(stream, `${headers[':path']}`));
  }

  static async start(script: Script): Promise<ScriptedEtcd> {
    const etcd = new ScriptedEtcd(script);
    await once(etcd.#server.listen(0, '127.0.0.1'), 'listening');
    return etcd;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #onStream(stream: ServerHttp2Stream, path: string): void {
    stream.on('error', () => {});
    let status = 0;
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': `${status}` }));
    const head = { ':status': 200, 'content-type': 'application/grpc+proto' };
    stream.respond(head, { waitForTrailers: true });
    stream.once('data', (request: Buffer) => {
      stream.resume();
      if (path.endsWith('/Range')) {
        const { rangeEnd } = fromBinary(RangeRequestSchema, request.subarray(5));
        if (rangeEnd.length > 0 || this.#script.refusesRevision?.() !== true)
          return void stream.end(this.#pageFor(request));
        status = RESOURCE_EXHAUSTED;
        stream.end();
      } else if (path.endsWith('/Watch')) this.#sendChanges(stream);
      else stream.end();
    });
  }

  #pageFor(request: Buffer): Buffer {
    const { rangeEnd, limit } = fromBinary(RangeRequestSchema, request.subarray(5));
    // A request without a range reads the revision only.
    if (rangeEnd.length === 0 || this.#script.page === undefined) return page({});
    this.sent++;
    return page(this.#script.page(Number(limit)));
  }

  #sendChanges(stream: ServerHttp2Stream): void {
    stream.write(watchAnswer({ created: true }));
    stream.on('data', () => stream.write(watchAnswer({ watchId: PROGRESS_ID })));
    const send = (): void => {
      if (stream.destroyed) return;
      const change = this.#script.change?.();
      if (change === undefined) return;
      this.sent++;
      if (stream.write(watchAnswer(change))) setImmediate(send);
      else stream.once('drain', send);
    };
    send();
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
