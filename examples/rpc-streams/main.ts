/**
 * Streams from the server, to the server, and in both directions. A reader that leaves its loop
 * ends the stream. A reader that is slow slows the writer down.
 *
 *   npm run example -- rpc-streams
 */
import {
  clientStream,
  connect,
  contract,
  duplex,
  implement,
  serve,
  serverStream,
} from 'getty-ts/rpc';

const Numbers = contract('Numbers', {
  primes: serverStream<{ from: number }, number>(),
  sum: clientStream<number, number>(),
  averages: duplex<number, number>(),
  blocks: serverStream<number, string>(),
});

const isPrime = (n: number): boolean =>
  n > 1 &&
  !Array.from({ length: Math.floor(Math.sqrt(n)) - 1 }, (_, i) => i + 2).some((d) => n % d === 0);
/** Blocks that the server has made. */
let blocksMade = 0;

const numbers = implement(Numbers, {
  /** Has no end of its own: it ends when its reader leaves. */
  async *primes({ from }) {
    try {
      for (let n = from; ; n++) if (isPrime(n)) yield n;
    } finally {
      console.log('primes: the reader has left');
    }
  },
  async sum(given) {
    let sum = 0;
    for await (const number of given) sum += number;
    return sum;
  },
  /** Answers each message before it reads the next one. */
  async *averages(given) {
    let sum = 0;
    let count = 0;
    for await (const number of given) {
      sum += number;
      count++;
      yield sum / count;
    }
  },
  async *blocks(count) {
    for (blocksMade = 0; blocksMade < count; blocksMade++) yield 'x'.repeat(10_000);
  },
});

await using server = await serve('tcp://127.0.0.1:0', [numbers]);
await using client = await connect(server.address);
const stub = client.stub(Numbers);

const primes: number[] = [];
for await (const prime of stub.primes({ from: 100 })) {
  primes.push(prime);
  if (primes.length === 5) break; // the server's generator ends too
}
console.log('primes:', primes.join(' '));

console.log('sum:', await stub.sum([1, 2, 3, 4]));

async function* measured(): AsyncGenerator<number> {
  for (const number of [10, 20, 60]) yield number;
}
const averages: number[] = [];
for await (const average of stub.averages(measured())) averages.push(average);
console.log('averages:', averages.join(' '));

// A stream of 10 MB whose reader stops after one block: the writer waits, and other calls do not.
const blocks = stub.blocks(1_000)[Symbol.asyncIterator]();
await blocks.next();
console.log('a sum meanwhile:', await stub.sum(Array.from({ length: 100 }, (_, i) => i)));
console.log('less than 100 of 1000 blocks made while the reader waits:', blocksMade < 100);
let read = 1;
while ((await blocks.next()).done !== true) read++;
console.log('blocks read in the end:', read);
