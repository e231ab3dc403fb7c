/** Reads the examples in the help of a command. */

/** The command lines under `Examples:`. */
export function examplesOf(help: string): string[] {
  const [, text = ''] = help.split('\nExamples:\n');
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The words of a command line, whose quotes are single. */
export function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}
