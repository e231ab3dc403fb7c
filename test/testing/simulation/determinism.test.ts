/** The same seed gives the same trace. */
import { expect, test } from 'vitest';
import { runProgram } from '../../fixtures/programs.js';

const PROGRAM = 'test/fixtures/simulated-services.mjs';

/** The hashes of two runs in a process of its own. */
async function hashes(seed: number): Promise<string[]> {
  await using program = runProgram(PROGRAM, `${seed}`);
  expect(await program.ended).toBe(0);
  return program.lines.all.slice();
}

test('the same seed gives the same trace, twice in one process and in two processes', async () => {
  const first = await hashes(1);
  expect(first).toHaveLength(2);
  expect(first[0]).toMatch(/^\d{4,} lines [0-9a-f]{64}$/);
  expect(first[1]).toBe(first[0]);
  expect(await hashes(1)).toEqual(first);
  expect((await hashes(2))[0]).not.toBe(first[0]);
});
