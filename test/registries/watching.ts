/** A registry and a watch for one test. */
import type { Registry } from '../../src/micro/types.js';
import { QUERY, type RegistryStore, WatchReader } from '../fixtures/registries.js';

/** Opens a registry and a watch of it, runs `test`, and ends the watch. */
export async function watching(
  store: RegistryStore,
  test: (registry: Registry, watch: WatchReader) => Promise<void>,
  query = QUERY,
): Promise<void> {
  const registry = store.open();
  await using watch = new WatchReader(registry, query);
  await test(registry, watch);
}
