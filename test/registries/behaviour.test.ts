/** The behavior that all registries have. The tables run once for each registry. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from 'vitest';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { noLeaks } from '../fixtures/leaks.js';
import { type Place, REGISTRIES } from '../fixtures/registries.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { REGISTRATION_BEHAVIORS } from './registration-behaviors.js';
import { WATCH_BEHAVIORS } from './watch-behaviors.js';

const BEHAVIORS = { ...WATCH_BEHAVIORS, ...REGISTRATION_BEHAVIORS };

describe.each(REGISTRIES)('$name', (row) => {
  noLeaks();
  noTimersLeft();
  let place: Place;
  let stop: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    stop = await row.begin?.();
  }, INSTALL_TIMEOUT);
  afterAll(() => stop?.());
  beforeEach(async () => {
    place = await row.place();
  });
  afterEach(() => place.close());

  it.each(Object.keys(BEHAVIORS))('%s', (name) => BEHAVIORS[name]?.(place));
});
