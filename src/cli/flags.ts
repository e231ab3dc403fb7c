/** The flags of a program: parseArgs() of node:util, with an error that suggests a known flag. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { messageOf } from '../core/errors.js';
import { nearestTo } from '../core/options.js';

type FlagTypes = NonNullable<ParseArgsConfig['options']>;
type Values<Flags extends FlagTypes> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Flags }>
>['values'];

/**
 * The values of `flags` in `args`. Throws an Error for an unknown flag, a missing value or a
 * positional argument.
 */
export function parseFlags<Flags extends FlagTypes>(args: string[], flags: Flags): Values<Flags> {
  try {
    return parseArgs({ args, options: flags }).values;
  } catch (error) {
    const [, name] = /^Unknown option '(-+[^' ]+)/.exec(messageOf(error)) ?? [];
    if (name === undefined) throw error;
    const known = Object.keys(flags);
    const nearest = nearestTo(name.replace(/^-+/, ''), known);
    const hint =
      nearest === undefined
        ? `the flags are ${known.map((flag) => `--${flag}`).join(', ')}`
        : `did you mean --${nearest}?`;
    throw new Error(`Unknown option '${name}'; ${hint}`);
  }
}
