/** `getty completion`: the completion of a shell. */
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { bashCompletion } from '../completion/bash.js';
import { commandWords, SHELLS } from '../completion/command-words.js';
import { fishCompletion } from '../completion/fish.js';
import { zshCompletion } from '../completion/zsh.js';
import { parseChoice } from '../option-values.js';

const WRITERS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export const defineCompletion: DefineCommand = (program, terminal) => {
  const command = program
    .command('completion')
    .summary('write the completion of a shell')
    .description(
      'Write a program that completes commands and options in a shell. Its first lines say how\n' +
        'to load it. With --json, write the commands and options as JSON.',
    )
    .argument('<shell>', SHELLS.join(', '))
    .action(async (text: string, options: JsonOption) => {
      const output = outputOf(terminal, options);
      const shell = parseChoice('SHELL', text, SHELLS);
      const commands = commandWords(program);
      if (output.isJson) await output.jsonValue({ commands });
      else await output.raw(WRITERS[shell](commands));
    });
  addJsonAndExamples(command, 'getty completion bash', 'getty completion fish');
};
