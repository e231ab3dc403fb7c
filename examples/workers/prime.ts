/** A worker thread that tests numbers for primality, the slow way. */
import { parentPort } from 'node:worker_threads';

parentPort?.on('message', (line: string) => {
  const number = Number(line);
  let divisor = 2;
  while (divisor * divisor <= number && number % divisor !== 0) divisor++;
  const answer =
    !Number.isSafeInteger(number) || number < 2
      ? 'not a number to ask for'
      : number % divisor === 0 && number !== divisor
        ? `divided by ${divisor}`
        : 'prime';
  parentPort?.postMessage(answer);
});
