/**
 * `npm run simulate -- [--seeds N] [--seed S] [--hours H] [--trace]`: simulates providers,
 * consumers and a registry with random faults, and checks the history of all calls.
 */
import { runBundled } from './bundle.mjs';

await runBundled('test/simulation/runner/main.ts', 'build/simulation');
