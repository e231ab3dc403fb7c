/** The completion of fish. */
import type { CommandWords, OptionWords } from './command-words.js';

/** A program for fish. */
export function fishCompletion(commands: readonly CommandWords[]): string {
  const lines = commands.flatMap(({ name, description, options, values }) => [
    `complete -c getty -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
    ...values.map((value) => `${forCommand(name)} -f -a ${value}`),
    ...options.map((option) => `${forCommand(name)} ${optionText(option)}`),
  ]);
  return `# Completion of getty for fish: getty completion fish | source
${lines.join('\n')}
`;
}

const forCommand = (name: string): string =>
  `complete -c getty -n '__fish_seen_subcommand_from ${name}'`;

function optionText({ name, description, values }: OptionWords): string {
  const text = `-l ${name.replace(/^--/, '')} -d ${quoted(description)}`;
  if (values === undefined) return `-f ${text}`;
  return values.length > 0 ? `${text} -x -a ${quoted(values.join(' '))}` : `${text} -r`;
}

const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
