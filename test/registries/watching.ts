/** A registry and a watch for one test. */
import type { Registry } from '../../src/micro/types.js';
import { type Place, QUERY, Watching } from '../fixtures/registries.js';

/** Opens a registry and a watch of it, runs `test`, and ends the watch. */
export async function watching(
  place: Place,
  test: (registry: Registry, watch: Watching) => Promise<void>,
  query = QUERY,
): Promise<void> {
  const registry = place.open();
  await using watch = new Watching(registry, query);
  await test(registry, watch);
}
