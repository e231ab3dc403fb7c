/** The service of the grid. The input of each call is its id, or begins with it. */
import {
  clientStream,
  contract,
  duplex,
  oneway,
  serverStream,
  unary,
} from '../../../dist/rpc/index.js';

export const Shop = contract('Shop', {
  read: unary({ idempotent: true }),
  order: unary(),
  note: oneway(),
  list: serverStream(),
  collect: clientStream(),
  chat: duplex(),
});

/** System-wide monotonic milliseconds: the logs of several processes have one clock. */
export function now() {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** Calls `act` after `ms` milliseconds. */
export function after(ms, act) {
  setTimeout(() => act(), ms);
}

export function sleep(ms) {
  return new Promise((settle) => after(ms, settle));
}

/**
 * Answers the commands of the driver. `commands` has a function for each name; its result is sent
 * back. The process ends with the driver.
 */
export function answerCommands(commands) {
  process.on('message', async ({ id, command, args }) => {
    try {
      process.send({ id, result: await commands[command](...args) });
    } catch (error) {
      process.send({ id, error: `${error?.stack ?? error}` });
    }
  });
  process.on('disconnect', () => process.exit());
}
