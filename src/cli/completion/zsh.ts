/** The completion of zsh. */
import type { CommandWords, OptionWords } from './command-words.js';

/** A program for zsh. */
export function zshCompletion(commands: readonly CommandWords[]): string {
  const descriptions = commands.map(
    ({ name, description }) => `    ${quoted(`${name}:${description.replaceAll(':', '\\:')}`)}`,
  );
  const cases = commands.map(({ name, options, values }) => {
    const argument = values.length > 0 ? `1:shell:(${values.join(' ')})` : '*:argument:_files';
    const words = [...options.map(optionText), argument].map((text) => quoted(text));
    return `    ${name}) _arguments ${words.join(' \\\n      ')} ;;`;
  });
  return `#compdef getty
# Completion of getty for zsh: source <(getty completion zsh)
_getty() {
  local -a commands
  commands=(
${descriptions.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases.join('\n')}
  esac
}
compdef _getty getty
`;
}

function optionText({ name, description, values }: OptionWords): string {
  const text = `${name}[${description.replace(/[[\]:\\]/g, '\\$&')}]`;
  if (values === undefined) return text;
  return `${text}:value:${values.length > 0 ? `(${values.join(' ')})` : '_files'}`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
