/** What is asked of etcd for one's own entries and their lease. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Connection } from './connection.js';
import type { Link } from './link.js';
import type { KeyValue } from './proto/kv_pb.js';
import {
  Compare_CompareTarget,
  LeaseKeepAliveRequestSchema,
  type RequestOpSchema,
} from './proto/rpc_pb.js';
import type { Publication } from './publication.js';

/** Entries per look; etcd takes at most 128 operations in a transaction. */
export const LOOK = 64;

export class EntryRequests {
  readonly #link: Link;
  readonly #connection: Connection;

  constructor(link: Link, connection: Connection) {
    this.#link = link;
    this.#connection = connection;
  }

  /** A lease of at least so many milliseconds, and how many they are. */
  async grant(ttl: number): Promise<{ id: bigint; ttl: number }> {
    const { lease } = this.#connection;
    const granted = await this.#link.call(this.#connection, (options) =>
      lease.leaseGrant({ TTL: BigInt(Math.ceil(ttl / 1000)) }, options),
    );
    return { id: granted.ID, ttl: Number(granted.TTL) * 1000 };
  }

  /** False: there is no such lease any more. */
  async keepAlive(id: bigint): Promise<boolean> {
    const { lease } = this.#connection;
    const request = create(LeaseKeepAliveRequestSchema, { ID: id });
    let left = 0n;
    // A stream of one request and one answer: it has a deadline like any other.
    await this.#link.call(this.#connection, async (options) => {
      for await (const { TTL } of lease.leaseKeepAlive(once(request), options)) left = TTL;
    });
    return left > 0n;
  }

  async revoke(id: bigint): Promise<void> {
    const { lease } = this.#connection;
    await this.#link.call(this.#connection, (options) => lease.leaseRevoke({ ID: id }, options));
  }

  /** Write it, whatever is there; answers the revision. */
  async put(
    { key, value = '' }: Pick<Publication, 'key' | 'value'>,
    lease: bigint,
  ): Promise<bigint> {
    const { kv } = this.#connection;
    const { header } = await this.#link.call(this.#connection, (options) =>
      kv.put({ key, value: Buffer.from(value), lease }, options),
    );
    return header?.revision ?? 0n;
  }

  /**
   * Write it if it was last written at `revision`, 0 for: not at all. Answers the revision of the
   * write, or undefined if it was not so.
   */
  async putIf(
    { key, value = '' }: Publication,
    lease: bigint,
    revision: bigint,
  ): Promise<bigint | undefined> {
    const { kv } = this.#connection;
    const compare = [
      {
        target: Compare_CompareTarget.MOD,
        key,
        targetUnion: { case: 'modRevision', value: revision } as const,
      },
    ];
    const success = [
      operation({ case: 'requestPut', value: { key, value: Buffer.from(value), lease } }),
    ];
    const { succeeded, header } = await this.#link.call(this.#connection, (options) =>
      kv.txn({ compare, success }, options),
    );
    return succeeded ? header?.revision : undefined;
  }

  /** Delete it, whosever it is. */
  async delete({ key }: Pick<Publication, 'key'>): Promise<void> {
    const { kv } = this.#connection;
    const success = [operation({ case: 'requestDeleteRange', value: { key } })];
    await this.#link.call(this.#connection, (options) => kv.txn({ success }, options));
  }

  /** Delete it if it is under this lease. */
  async deleteIf({ key }: Publication, lease: bigint): Promise<void> {
    const { kv } = this.#connection;
    const compare = [
      {
        target: Compare_CompareTarget.LEASE,
        key,
        targetUnion: { case: 'lease', value: lease } as const,
      },
    ];
    const success = [operation({ case: 'requestDeleteRange', value: { key } })];
    await this.#link.call(this.#connection, (options) => kv.txn({ compare, success }, options));
  }

  /** What is there of at most LOOK entries, without the values, and at which revision. */
  async look(
    publications: readonly Publication[],
  ): Promise<{ found: (KeyValue | undefined)[]; revision: bigint }> {
    const { kv } = this.#connection;
    const success = publications.map(({ key }) =>
      operation({ case: 'requestRange', value: { key, keysOnly: true } }),
    );
    const { responses, header } = await this.#link.call(this.#connection, (options) =>
      kv.txn({ success }, options),
    );
    const found = responses.map(({ response }) =>
      response.case === 'responseRange' ? response.value.kvs[0] : undefined,
    );
    return { found, revision: header?.revision ?? 0n };
  }
}

type Operation = MessageInitShape<typeof RequestOpSchema>;

function operation(request: Operation['request']): Operation {
  return { request };
}

async function* once<T>(item: T): AsyncGenerator<T> {
  yield item;
}
