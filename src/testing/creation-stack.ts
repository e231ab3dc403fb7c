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

  /** The frames of the program, innermost first. */
  get programFrames(): string[] {
    return this.#frames.filter((frame) => !isForeign(frame));
  }

  get #frames(): string[] {
    return (this.#holder.stack ?? '').split('\n').slice(1);
  }

  /** The frames of the program, or, when it has none, the first ones of this package. */
  toString(): string {
    const own = this.programFrames;
    return (own.length > 0 ? own : this.#frames).slice(0, SHOWN_FRAMES).join('\n');
  }
}

/** Such as `at Promise.all (index 0)` and `at new Promise (<anonymous>)`. */
const OF_V8 = /\((?:<anonymous>|index \d+)\)$/;

/** Whether a frame is code of this package, of Node.js or of V8. */
function isForeign(frame: string): boolean {
  return frame.includes(PACKAGE) || /\bnode:/.test(frame) || OF_V8.test(frame);
}
