/** Cells that fail, by their name, with the reason. A run reports them and does not fail. */
export const KNOWN_FAILURES: Readonly<Record<string, string>> = {};
