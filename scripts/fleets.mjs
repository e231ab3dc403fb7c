/** `npm run fleets`: measures fleets in simulations, and prints the tables of docs/micro.md. */
import { runBundled } from './bundle.mjs';

await runBundled('test/simulation/fleets/main.ts', 'build/fleets');
