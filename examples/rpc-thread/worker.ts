/** The worker thread: it counts primes, and reports its progress to the main thread. */
import { parentPort } from 'node:worker_threads';
import { implement, serve } from 'getty-ts/rpc';
import { Primes, Progress } from './contract.js';

function isPrime(number: number): boolean {
  for (let divisor = 2; divisor * divisor <= number; divisor++)
    if (number % divisor === 0) return false;
  return number > 1;
}

const primes = implement(Primes, {
  async count(below, { channel }) {
    const main = channel.stub(Progress);
    let found = 0;
    for (let number = 0; number < below; number++) {
      if (isPrime(number)) found++;
      if ((number + 1) % Math.ceil(below / 4) === 0)
        await main.report(Math.round(((number + 1) / below) * 100));
    }
    return found;
  },
});

if (parentPort === null) throw new Error('this file runs in a worker thread');
await serve({ port: parentPort }, [primes]);
