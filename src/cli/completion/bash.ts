/** The completion of bash. */
import type { CommandWords } from './command-words.js';

/** A program for bash. Where it knows no word, bash completes the names of files. */
export function bashCompletion(commands: readonly CommandWords[]): string {
  const cases = commands.map(
    ({ name, options, values }) =>
      `    ${name}) words='${[...values, ...options.map((option) => option.name), '--help'].join(' ')}' ;;`,
  );
  const values = new Map(
    commands.flatMap(({ options }) =>
      options.flatMap((option) =>
        option.values === undefined ? [] : [[option.name, option.values.join(' ')] as const],
      ),
    ),
  );
  const valueCases = [...values].map(([name, words]) => `    ${name}) words='${words}' ;;`);
  return `# Completion of getty for bash: source <(getty completion bash)
_getty() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=''
  case "$previous" in
${valueCases.join('\n')}
    *)
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='${commands.map(({ name }) => name).join(' ')} help --help --version'
  else
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  fi
    ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _getty getty
`;
}
