/** The behavior that all registries have. The tables run once for each registry. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from 'vitest';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { noLeaks } from '../fixtures/leaks.js';
import { REGISTRIES, type RegistryStore } from '../fixtures/registries.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { REGISTRATION_BEHAVIORS } from './registration-behaviors.js';
import { WATCH_BEHAVIORS } from './watch-behaviors.js';

const BEHAVIORS = { ...WATCH_BEHAVIORS, ...REGISTRATION_BEHAVIORS };

describe.each(REGISTRIES)('$name', (row) => {
  noLeaks();
  noTimersLeft();
  let store: RegistryStore;
  let stop: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    stop = await row.start?.();
  }, INSTALL_TIMEOUT);
  afterAll(() => stop?.());
  beforeEach(async () => {
    store = await row.newStore();
  });
  afterEach(() => store.close());

  for (const [name, behavior] of Object.entries(BEHAVIORS)) {
    const reason = row.exceptions?.(name, Object.hasOwn(REGISTRATION_BEHAVIORS, name));
    if (reason === undefined) it(name, () => behavior(store));
    else it.skip(`${name} (${reason})`, () => {});
  }
});
