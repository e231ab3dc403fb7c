/** Waits for a promise that may settle long after the wait has ended. */

/**
 * One wait for a promise. It ends when the promise settles, or before with resolve() or reject();
 * then it holds nothing of its result. Promise.race() instead keeps the result of each race until
 * the slowest promise has settled, so many short waits for one connection would add up.
 */
export class Waiter<T> {
  #resolve: ((value: T | PromiseLike<T>) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;

  /** Begins the wait. The returned promise settles once, at the end of the wait. */
  start(source: Promise<T>): Promise<T> {
    follow(source, this);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Without effect after the end. */
  resolve(value: T): void {
    const resolve = this.#resolve;
    this.#end();
    resolve?.(value);
  }

  /** Without effect after the end. */
  reject(error: unknown): void {
    const reject = this.#reject;
    this.#end();
    reject?.(error);
  }

  #end(): void {
    this.#resolve = undefined;
    this.#reject = undefined;
  }
}

/** A function of its own: `source` keeps the closures, and with them what their scope has. */
function follow<T>(source: Promise<T>, waiter: Waiter<T>): void {
  source.then(
    (value) => waiter.resolve(value),
    (error) => waiter.reject(error),
  );
}
