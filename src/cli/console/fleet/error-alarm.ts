/** Notices when the share of failed calls of a service rises, and when it falls again. */

/** How many seconds the share covers. */
const WINDOW = 10;
/** The share of failed calls that raises the alarm, and the one below which it ends. */
const RAISED_ABOVE = 0.05;
const ENDS_BELOW = 0.01;
/** Fewer failed calls in the window raise no alarm, whatever their share is. */
const MIN_FAILURES = 5;

export class ErrorAlarm {
  readonly #seconds: (readonly [rate: number, errors: number])[] = [];
  #isRaised = false;

  /** Adds a second. Returns the share of failed calls if the alarm begins or ends with it. */
  add(rate: number, errors: number): { isRaised: boolean; share: number } | undefined {
    this.#seconds.push([rate, errors]);
    if (this.#seconds.length > WINDOW) this.#seconds.shift();
    const calls = this.#seconds.reduce((sum, [each]) => sum + each, 0);
    const failures = this.#seconds.reduce((sum, [, each]) => sum + each, 0);
    const share = calls === 0 ? 0 : failures / calls;
    const isRaised = this.#isRaised
      ? share >= ENDS_BELOW
      : share > RAISED_ABOVE && failures >= MIN_FAILURES;
    if (isRaised === this.#isRaised) return undefined;
    this.#isRaised = isRaised;
    return { isRaised, share };
  }
}
