/** Where in the program something was created. */

/** How many frames are captured: those of this package precede those of the program. */
const CAPTURED_FRAMES = 40;
const SHOWN_FRAMES = 6;

/** The folder of this package's modules: `…/dist/`. */
const PACKAGE = new URL('..', import.meta.url).href.replace(/^file:\/\//, '');

/** The stack of the code that runs now. It becomes text when it is needed, which takes longer. */
export class CreationStack {
  readonly #holder: { stack?: string } = {};

  constructor() {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = CAPTURED_FRAMES;
    Error.captureStackTrace(this.#holder, CreationStack);
    Error.stackTraceLimit = stackTraceLimit;
  }

  /** The frames of the program, or, when it has none, the first ones of this package. */
  toString(): string {
    const frames = (this.#holder.stack ?? '').split('\n').slice(1);
    const own = frames.filter((frame) => !frame.includes(PACKAGE) && !/\bnode:/.test(frame));
    return (own.length > 0 ? own : frames).slice(0, SHOWN_FRAMES).join('\n');
  }
}
