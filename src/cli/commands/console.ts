/** `getty console`: a page in the browser that shows services, nodes and calls. */
import { messageOf } from '../../core/errors.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { parseListenAddress } from '../console/http/listen-address.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { parseTarget } from '../target/target.js';

interface ConsoleOptions extends ConnectionOptions, JsonOption {
  readonly listen?: ReturnType<typeof parseListenAddress>;
  readonly allowHost?: readonly string[];
  readonly allowAdmin?: boolean;
  readonly open?: boolean;
}

export const defineConsole: DefineCommand = (program, terminal) => {
  const command = program
    .command('console')
    .summary('show services, nodes and calls in the browser')
    .description(
      'Serve a page that shows services, nodes and events, and that calls methods, until Ctrl-C.\n' +
        'Servers need the option introspection: true. The address has a token if it is not of this\n' +
        'machine only, or if the page may do what needs --allow-admin, --token or --key.',
    )
    .argument('<target>', 'an address, or a registry, of which all nodes are asked')
    .option(
      '--listen <address>',
      'a port or host:port (default: a free port of 127.0.0.1)',
      parseListenAddress,
    )
    .option(
      '--allow-host <name>',
      'a host name by which browsers reach the page; can be given several times',
      (name: string, before: readonly string[] = []) => [...before, name],
    )
    .option('--allow-admin', 'let the page drain nodes and change weights')
    .option('--open', 'open the browser (default: if the output is a terminal)')
    .option('--no-open', 'do not open the browser');
  addConnectionOptions(command);
  command.action(async (text: string, options: ConsoleOptions) => {
    const output = outputOf(terminal, options);
    const target = parseTarget(text, options);
    // Only this command needs these modules.
    const { runConsole } = await import('../console/run-console.js');
    const { openBrowser } = await import('../console/open-browser.js');
    const { listen = parseListenAddress('0'), allowHost: hosts = [] } = options;
    await runConsole(target, { ...options, listen, hosts }, terminal, async (url) => {
      await (output.isJson ? output.jsonLine({ url }) : output.line(url));
      output.progress('the console is at this address until Ctrl-C');
      if (!(options.open ?? output.isTerminal)) return undefined;
      try {
        return await openBrowser(url, terminal.environment);
      } catch (error) {
        output.progress(`${messageOf(error)}; open the address yourself`);
        return undefined;
      }
    });
  });
  addJsonAndExamples(
    command,
    'getty console file:///srv/getty/registry --no-open',
    'getty console tcp://127.0.0.1:8849 --listen 127.0.0.1:0 --json',
  );
};
