/** The service of a list of tasks that all pages share. */
import { type Channel, implement, RpcError, type Service } from 'getty-ts/rpc';
import { Page, type Task, Tasks } from './contract.js';

const MAX_TASKS = 1_000;
const MAX_TEXT_LENGTH = 200;

/** `pages`: the present connections, one for each page. */
export function taskService(pages: () => Iterable<Channel>): Service {
  const tasks: Task[] = [];
  /** Called at the next change of the list. */
  let watchers: (() => void)[] = [];

  const notifyWatchers = (): void => {
    const notified = watchers;
    watchers = [];
    for (const notify of notified) notify();
  };
  const sayToPages = (text: string): void => {
    // A page may be gone meanwhile.
    for (const page of pages())
      page
        .stub(Page)
        .say(text)
        .catch(() => {});
  };

  return implement(Tasks, {
    add(given) {
      // The type is not checked on the wire, so the value is checked here.
      const text = typeof given === 'string' ? given.trim() : '';
      if (text === '' || text.length > MAX_TEXT_LENGTH)
        throw new RpcError(
          'INVALID_ARGUMENT',
          `a task is a text of 1 to ${MAX_TEXT_LENGTH} characters`,
        );
      if (tasks.length >= MAX_TASKS)
        throw new RpcError('RESOURCE_EXHAUSTED', `${MAX_TASKS} tasks are enough`);
      const task = { id: tasks.length + 1, text, done: false };
      tasks.push(task);
      notifyWatchers();
      return task;
    },

    toggle(id) {
      const task = tasks.find((one) => one.id === id);
      if (task === undefined) throw new RpcError('NOT_FOUND', `there is no task ${id}`);
      task.done = !task.done;
      notifyWatchers();
      if (tasks.every(({ done }) => done)) sayToPages('All is done. Well done!');
      return task;
    },

    async *watch(_, { signal }) {
      // It aborts when the page has left, or its connection is lost.
      signal.addEventListener('abort', notifyWatchers);
      while (!signal.aborted) {
        const change = new Promise<void>((resolve) => watchers.push(resolve));
        yield tasks;
        await change;
      }
    },
  });
}
