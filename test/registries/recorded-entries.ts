/** The registry entries that were recorded from Go programs. */
import { readFileSync } from 'node:fs';

export const RECORDED_ENTRIES: readonly { readonly path: string; readonly value: string }[] =
  readFileSync(new URL('../fixtures/vectors/registry.jsonl', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
