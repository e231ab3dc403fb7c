// @ts-check
/** What the loads have in common. Each file exports `open(load)`, which returns a Measure. */

/**
 * The result of one measurement. `messages` arrived in `took` seconds, and `all` until the last
 * answer.
 * @typedef {{ messages: number, all: number, took: number, failure?: string }} Result
 */
/** Make the load for some seconds. @typedef {(seconds: number) => Promise<Result>} Measure */
/**
 * @typedef {import('./lanes.mjs').Lanes | import('./timed.mjs').Timed
 *   | import('./audience.mjs').Audience} Load
 */

export {};
