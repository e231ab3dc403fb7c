/** `getty describe`: the services, methods and messages of a target. */
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { type DescribedService, describeFleet } from '../describe/described-fleet.js';
import { exampleBody } from '../describe/example-body.js';
import { methodLines, serviceLines } from '../describe/method-text.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { type MethodName, parseServiceName } from '../target/service-name.js';
import { parseTarget } from '../target/target.js';
import { unknownName } from '../unknown-name.js';

export const defineDescribe: DefineCommand = (program, terminal) => {
  const command = program
    .command('describe')
    .summary('show services, their methods and messages')
    .description(
      'Show the services of a server, or those that a registry lists, with their methods. With a\n' +
        'method, show the fields of its messages and a command that calls it. Servers need the\n' +
        'option introspection: true.',
    )
    .argument('<target>', 'an address or a registry')
    .argument('[service/method]', 'such as Greeter or Greeter/hello');
  addConnectionOptions(command);
  command.action(
    async (text: string, nameText: string | undefined, options: ConnectionOptions & JsonOption) => {
      const output = outputOf(terminal, options);
      const target = parseTarget(text, options);
      const name = nameText === undefined ? undefined : parseServiceName(nameText);
      const needsDescriptors = output.isJson || name?.method !== undefined;
      const settings = { service: name?.service, needsDescriptors };
      const { services } = await describeFleet(target, settings, options, terminal, output);
      const selected = name === undefined ? services : select(services, name);
      if (output.isJson) return output.jsonValue({ services: selected.map(withExamples) });
      if (selected.length === 0) return output.progress('there are no services');
      for (const [at, service] of selected.entries()) {
        if (at > 0) await output.line('');
        const lines =
          name?.method === undefined
            ? serviceLines(service)
            : service.methods.flatMap((method) => methodLines(target.url, service, method));
        for (const line of lines) await output.line(line);
      }
    },
  );
  addJsonAndExamples(
    command,
    'getty describe tcp://127.0.0.1:8849',
    'getty describe file:///srv/getty/registry Greeter/hello',
  );
};

/** The services of this name, with only this method. Throws UNIMPLEMENTED, with advice. */
function select(
  services: readonly DescribedService[],
  { service, method }: MethodName,
): DescribedService[] {
  const named = services.filter(({ name }) => name === service);
  if (named.length === 0)
    throw unknownName(
      `there is no service ${service}`,
      service,
      services.map(({ name }) => name),
    );
  if (method === undefined) return named;
  const selected = named
    .map((each) => ({ ...each, methods: each.methods.filter(({ name }) => name === method) }))
    .filter(({ methods }) => methods.length > 0);
  if (selected.length > 0) return selected;
  throw unknownName(
    `${service} has no method ${method}`,
    method,
    named.flatMap(({ methods }) => methods.map(({ name }) => name)),
  );
}

function withExamples({ registry, groups: _, ...service }: DescribedService): object {
  return {
    ...service,
    methods: service.methods.map((method) => ({
      ...method,
      example: exampleBody(method.input, registry),
    })),
  };
}
