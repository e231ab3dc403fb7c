/** The clock of a process, by the library faketime, which reads the difference from a file. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkipCell } from './cell.js';

const LIBRARIES = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib64/faketime/libfaketime.so.1',
];

export class ClockFile {
  readonly #path: string;
  readonly #library: string;

  private constructor(path: string, library: string) {
    this.#path = path;
    this.#library = library;
  }

  static async create(folder: string): Promise<ClockFile> {
    const library = LIBRARIES.find((path) => existsSync(path));
    if (library === undefined) throw new SkipCell('the library faketime is not installed');
    const clock = new ClockFile(join(folder, 'clock'), library);
    await clock.set(0);
    return clock;
  }

  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#path,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** `seconds`: the difference to the clock of the machine. */
  async set(seconds: number): Promise<void> {
    await writeFile(this.#path, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}\n`);
  }
}
