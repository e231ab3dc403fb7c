import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Queue } from '../../src/core/queue.js';
import { fc } from '../fixtures/property.js';

describe('Queue', () => {
  it('behaves as an array with push() and shift()', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.nat(1_000) },
      { weight: 4, arbitrary: fc.constant('shift' as const) },
      fc.constant('clear' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const queue = new Queue<number>();
        const model: number[] = [];
        for (const next of steps) {
          if (next === 'shift') expect(queue.shift()).toBe(model.shift());
          else if (next === 'clear') {
            queue.clear();
            model.length = 0;
          } else {
            queue.push(next);
            model.push(next);
          }
          expect([queue.length, queue.peek()]).toEqual([model.length, model[0]]);
        }
      }),
    );
  });

  it('keeps the order of 100,000 items, and is empty after them', () => {
    const queue = new Queue<number>();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100_000; i++) queue.push(i);
      for (let i = 0; i < 100_000; i++)
        if (queue.shift() !== i) expect.fail(`the item at ${i} is another one`);
      expect([queue.length, queue.peek(), queue.shift()]).toEqual([0, undefined, undefined]);
    }
  });
});

const SOURCES = new URL('../../src/', import.meta.url);

/**
 * Array.shift() moves all items. With many small messages of a peer in the array, that would take
 * seconds.
 */
it.each(['core', 'rpc', 'transport', 'web'])('no array is used as a queue in src/%s', (folder) => {
  const files = readdirSync(new URL(`${folder}/`, SOURCES), {
    recursive: true,
    encoding: 'utf8',
  }).filter((name) => name.endsWith('.ts'));
  const arrays: string[] = [];
  for (const file of files) {
    const text = readFileSync(new URL(`${folder}/${file}`, SOURCES), 'utf8');
    for (const [, field = ''] of text.matchAll(/this\.(#\w+)\.(?:shift\(\)|splice\(0, )/g))
      if (!new RegExp(`${field} = new Queue<`).test(text)) arrays.push(`${file}: ${field}`);
  }
  expect(arrays).toEqual([]);
});
