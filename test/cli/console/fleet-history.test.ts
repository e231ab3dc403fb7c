/** The history that a page receives, and the services that it counts. */
import { describe, expect, test } from 'vitest';
import { EventLog } from '../../../src/cli/console/fleet/event-log.js';
import type { FleetNode } from '../../../src/cli/console/fleet/fleet-node.js';
import type { TimedRate } from '../../../src/cli/console/fleet/latency-window.js';
import { Series, SeriesClock } from '../../../src/cli/console/fleet/series.js';
import { ServiceTable } from '../../../src/cli/console/fleet/service-table.js';
import { MAX_POINTS } from '../../../src/cli/console/limits.js';

describe('a history', () => {
  test('has the points of the moment at which its transfer began', () => {
    const { clock, series, addSeconds } = clockWithSeries();
    addSeconds(3);
    const { count } = clock;
    addSeconds(2);
    expect(series.history(clock, count).rate).toEqual([1, 2, 3]);
  });

  test('lacks the points that newer ones have replaced during its transfer', () => {
    const { clock, series, addSeconds } = clockWithSeries();
    addSeconds(MAX_POINTS + 1);
    const { count } = clock;
    const before = series.history(clock, count).rate;
    expect(before).toHaveLength(MAX_POINTS);
    expect(before.slice(0, 3)).toEqual([2, 3, 4]);
    addSeconds(2);
    const { rate } = series.history(clock, count);
    expect(rate).toHaveLength(MAX_POINTS);
    expect(rate.slice(0, 3)).toEqual([null, null, 4]);
    expect(rate.at(-1)).toBe(MAX_POINTS + 1);
  });
});

describe('the table of services', () => {
  test.each(['first', 'last'])(
    'leaves out calls of a service that a node does not publish, if it is %s',
    (place) => {
      const publishing = nodeWith(['Greeter'], [rateOf('Greeter', 5)]);
      const other = nodeWith(['Echo'], [rateOf('Greeter', 70)]);
      const table = new ServiceTable(new EventLog());
      table.update(
        place === 'first' ? [other, publishing] : [publishing, other],
        new SeriesClock(),
      );
      expect(table.rows.find(({ name }) => name === 'Greeter')).toMatchObject({
        nodes: 1,
        point: [5, 0, null, null],
      });
    },
  );

  test('counts a service that is left out once, although several nodes offer it', () => {
    const names = Array.from({ length: 201 }, (_, at) => `Service${at}`);
    const table = new ServiceTable(new EventLog());
    const nodes = [nodeWith(names, []), nodeWith(names, [])];
    table.update(nodes, new SeriesClock());
    table.update(nodes, new SeriesClock());
    expect({ rows: table.rows.length, omitted: table.omitted }).toEqual({ rows: 200, omitted: 1 });
  });
});

function clockWithSeries() {
  const clock = new SeriesClock();
  const series = new Series();
  const addSeconds = (seconds: number): void => {
    for (let second = 0; second < seconds; second++) {
      series.add(clock, [clock.count + 1, 0, null, null]);
      clock.advance(1_000 * (clock.count + 1));
    }
  };
  return { clock, series, addSeconds };
}

function nodeWith(names: readonly string[], rates: readonly TimedRate[]): FleetNode {
  const services = names.map((name) => ({ name, version: '', group: '', codecs: ['json'] }));
  return { state: 'up', services, rates } as unknown as FleetNode;
}

function rateOf(service: string, rate: number): TimedRate {
  return { service, version: '', rate, failures: 0, inFlight: 0 } as unknown as TimedRate;
}
