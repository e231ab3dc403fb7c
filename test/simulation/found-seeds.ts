/** Seeds that have found a fault of this package. The suite simulates them again. */

interface FoundSeed {
  readonly seed: number;
  /** How long the faults last, in virtual time. */
  readonly seconds: number;
  readonly finding: string;
}

export const FOUND_SEEDS: readonly FoundSeed[] = [];
