/** The requests of a publisher, for its entries and their lease. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { EtcdClient } from './client/etcd-client.js';
import type { MemberConnection } from './client/member-connection.js';
import type { KeyValue } from './proto/kv_pb.js';
import {
  Compare_CompareTarget,
  LeaseKeepAliveRequestSchema,
  type RequestOpSchema,
} from './proto/rpc_pb.js';
import type { PublishedKey } from './published-key.js';

/** Keys per findAll(). etcd allows at most 128 operations in a transaction. */
export const MAX_FIND = 64;

export class EntryRequests {
  readonly #client: EtcdClient;
  readonly #connection: MemberConnection;

  constructor(client: EtcdClient, connection: MemberConnection) {
    this.#client = client;
    this.#connection = connection;
  }

  /** Requests a lease. Returns its ttl in milliseconds. etcd grants at least the requested one. */
  async grant(ttl: number): Promise<{ id: bigint; ttl: number }> {
    const { lease } = this.#connection;
    const granted = await this.#client.call(this.#connection, async (options) => {
      const answer = await lease.leaseGrant({ TTL: BigInt(Math.ceil(ttl / 1000)) }, options);
      // Keep-alives of such a lease would follow each other without a pause.
      if (answer.TTL <= 0n)
        throw new ConnectError(`the server granted a lease of ${answer.TTL} s`, Code.Internal);
      return answer;
    });
    return { id: granted.ID, ttl: Number(granted.TTL) * 1000 };
  }

  /** False: the lease does not exist any more. */
  async keepAlive(id: bigint): Promise<boolean> {
    const { lease } = this.#connection;
    const request = create(LeaseKeepAliveRequestSchema, { ID: id });
    let left = 0n;
    // The stream has one request and one answer, so that the time limit of a request applies.
    await this.#client.call(this.#connection, async (options) => {
      for await (const { TTL } of lease.leaseKeepAlive(streamOf(request), options)) left = TTL;
    });
    return left > 0n;
  }

  async revoke(id: bigint): Promise<void> {
    const { lease } = this.#connection;
    await this.#client.call(this.#connection, (options) => lease.leaseRevoke({ ID: id }, options));
  }

  /** Writes the entry unconditionally. Returns the revision of the write. */
  async put(
    { key, value = '' }: Pick<PublishedKey, 'key' | 'value'>,
    lease: bigint,
  ): Promise<bigint> {
    const { kv } = this.#connection;
    const { header } = await this.#client.call(this.#connection, (options) =>
      kv.put({ key, value: Buffer.from(value), lease }, options),
    );
    return header?.revision ?? 0n;
  }

  /**
   * Writes the entry if its key was last written at `revision`; 0n: if the key does not exist.
   * Returns the revision of the write, or undefined if the condition failed.
   */
  async putIfUnchanged(
    { key, value = '' }: PublishedKey,
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
    const { succeeded, header } = await this.#client.call(this.#connection, (options) =>
      kv.txn({ compare, success }, options),
    );
    return succeeded ? header?.revision : undefined;
  }

  /** Deletes the entry unconditionally. */
  async delete({ key }: Pick<PublishedKey, 'key'>): Promise<void> {
    const { kv } = this.#connection;
    const success = [operation({ case: 'requestDeleteRange', value: { key } })];
    await this.#client.call(this.#connection, (options) => kv.txn({ success }, options));
  }

  /** Deletes the entry if it is under this lease. */
  async deleteIfLeased({ key }: PublishedKey, lease: bigint): Promise<void> {
    const { kv } = this.#connection;
    const compare = [
      {
        target: Compare_CompareTarget.LEASE,
        key,
        targetUnion: { case: 'lease', value: lease } as const,
      },
    ];
    const success = [operation({ case: 'requestDeleteRange', value: { key } })];
    await this.#client.call(this.#connection, (options) => kv.txn({ compare, success }, options));
  }

  /**
   * Reads at most MAX_FIND keys, without their values, at one revision. undefined: the key does not
   * exist.
   */
  async findAll(
    keys: readonly PublishedKey[],
  ): Promise<{ found: (KeyValue | undefined)[]; revision: bigint }> {
    const { kv } = this.#connection;
    const success = keys.map(({ key }) =>
      operation({ case: 'requestRange', value: { key, keysOnly: true } }),
    );
    const { responses, header } = await this.#client.call(this.#connection, (options) =>
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

async function* streamOf<T>(item: T): AsyncGenerator<T> {
  yield item;
}
