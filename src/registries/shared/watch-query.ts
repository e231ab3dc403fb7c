/** Registry.watch() as every registry implements it. */
import { checkQuery } from '../../micro/registry-entry.js';
import { type SnapshotSink, snapshots } from '../../micro/snapshots.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';

/**
 * The iterable that Registry.watch() returns: the lists of a query. Throws BAD_OPTION if the query
 * or an option is invalid. `start` begins to offer lists to the sink, and returns a function that
 * stops offering them. If the registry is closed, `start` returns undefined, and the iteration ends
 * at once.
 */
export function watchQuery(
  query: ServiceQuery,
  options: { signal?: AbortSignal | undefined },
  start: (sink: SnapshotSink) => (() => void) | undefined,
): AsyncIterable<readonly ServiceNode[]> {
  checkQuery(query, options);
  return snapshots((sink) => {
    const stop = start(sink);
    if (stop !== undefined) return stop;
    sink.end();
    return () => {};
  }, options.signal);
}
