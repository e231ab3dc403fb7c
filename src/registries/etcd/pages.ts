/** Reads all keys under a prefix, as they are at one revision, in pages. */
import type { Connection } from './connection.js';
import { isTooLarge } from './failure.js';
import type { Link } from './link.js';
import type { RangeResponse } from './proto/rpc_pb.js';

/** Entries per request; fewer when they are large. */
const FIRST_PAGE = 1_000;
const LARGEST_PAGE = 8_000;
const END = new Uint8Array([0]);

/** Rejects with Connect's error. All pages are of the revision of the first one. */
export async function* readPages(
  link: Link,
  connection: Connection,
  prefix: string,
): AsyncGenerator<RangeResponse> {
  const rangeEnd = prefixEnd(prefix);
  let key: Uint8Array = Buffer.from(prefix);
  let revision = 0n;
  let limit = FIRST_PAGE;
  for (;;) {
    const page = await readPage(link, connection, {
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
    yield page;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return;
    key = Buffer.concat([last.key, END]);
    limit = Math.min(LARGEST_PAGE, limit * 2);
  }
}

/** undefined: it is too large, ask for less. */
async function readPage(
  link: Link,
  connection: Connection,
  range: { key: Uint8Array; rangeEnd: Uint8Array; revision: bigint; limit: bigint },
): Promise<RangeResponse | undefined> {
  try {
    return await link.callWhileReading(connection, (options) =>
      connection.kv.range(range, options),
    );
  } catch (error) {
    if (isTooLarge(error) && range.limit > 1n) return undefined;
    throw error;
  }
}

/** The end of the range of all keys that begin with the prefix, which ends in a slash. */
export function prefixEnd(prefix: string): Uint8Array {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) as number) + 1;
  return end;
}
