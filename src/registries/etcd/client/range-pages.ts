/** Reads all keys under a prefix in pages, all at one revision. */
import { Code, ConnectError } from '@connectrpc/connect';
import type { EntryLimits } from '../../shared/entry-budget.js';
import type { RangeResponse } from '../proto/rpc_pb.js';
import { isTooLarge } from './errors.js';
import type { EtcdClient } from './etcd-client.js';
import type { MemberConnection } from './member-connection.js';
import { PartLimit } from './part-limit.js';

/** Entries per request; fewer if an answer is too large. */
const FIRST_PAGE = 1_000;
const MAX_PAGE = 8_000;
/** A key with this suffix is the next key in order. */
const NEXT_KEY_SUFFIX = new Uint8Array([0]);

/**
 * All pages have the revision of the first one. Rejects with a ConnectError, also if all pages
 * together are far over the limits, or if a page has keys from before it.
 */
export async function* readPages(
  client: EtcdClient,
  connection: MemberConnection,
  prefix: string,
  limits: EntryLimits,
): AsyncGenerator<RangeResponse> {
  const total = new PartLimit(limits);
  const rangeEnd = prefixEnd(prefix);
  let key: Uint8Array = Buffer.from(prefix);
  let revision = 0n;
  let limit = FIRST_PAGE;
  for (;;) {
    const page = await readPage(client, connection, {
      key,
      rangeEnd,
      revision,
      limit: BigInt(limit),
    });
    if (page === undefined) {
      limit = Math.max(1, Math.floor(limit / 8));
      continue;
    }
    revision ||= page.header?.revision ?? 0n;
    await total.add(page.kvs);
    const last = page.kvs.at(-1);
    if (last !== undefined && Buffer.compare(last.key, key) < 0)
      throw new ConnectError('the server sent keys that were not requested', Code.Internal);
    const isLast = !page.more || last === undefined;
    if (isLast) client.onAnswered();
    yield page;
    if (isLast) return;
    key = Buffer.concat([last.key, NEXT_KEY_SUFFIX]);
    limit = Math.min(MAX_PAGE, limit * 2);
  }
}

/** undefined: the page is too large. */
async function readPage(
  client: EtcdClient,
  connection: MemberConnection,
  range: { key: Uint8Array; rangeEnd: Uint8Array; revision: bigint; limit: bigint },
): Promise<RangeResponse | undefined> {
  try {
    return await client.callWhileReading(connection, (options) =>
      connection.kv.range(range, options),
    );
  } catch (error) {
    if (isTooLarge(error) && range.limit > 1n) return undefined;
    throw error;
  }
}

/** The end of the range of all keys with the prefix. The prefix ends in a slash. */
export function prefixEnd(prefix: string): Uint8Array {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) as number) + 1;
  return end;
}
