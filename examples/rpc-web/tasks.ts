/** The service: a list of tasks that all pages share. */
import { type Channel, implement, RpcError, type Service } from 'getty-ts/rpc';
import { Page, type Task, Tasks } from './contract.js';

const MOST_TASKS = 1_000;
const LONGEST_TEXT = 200;

/** `pages`: the connections that there are, each to a page. */
export function taskService(pages: () => Iterable<Channel>): Service {
  const tasks: Task[] = [];
  /** Of those who watch and have seen the present list. */
  let waiting: (() => void)[] = [];

  const changed = (): void => {
    const wake = waiting;
    waiting = [];
    for (const one of wake) one();
  };
  const tellPages = (text: string): void => {
    // A page that is gone meanwhile is told nothing.
    for (const page of pages())
      page
        .stub(Page)
        .say(text)
        .catch(() => {});
  };

  return implement(Tasks, {
    add(given) {
      // The types end at the wire: what comes is looked at.
      const text = typeof given === 'string' ? given.trim() : '';
      if (text === '' || text.length > LONGEST_TEXT)
        throw new RpcError(
          'INVALID_ARGUMENT',
          `a task is a text of 1 to ${LONGEST_TEXT} characters`,
        );
      if (tasks.length >= MOST_TASKS)
        throw new RpcError('RESOURCE_EXHAUSTED', `${MOST_TASKS} tasks are enough`);
      const task = { id: tasks.length + 1, text, done: false };
      tasks.push(task);
      changed();
      return task;
    },

    toggle(id) {
      const task = tasks.find((one) => one.id === id);
      if (task === undefined) throw new RpcError('NOT_FOUND', `there is no task ${id}`);
      task.done = !task.done;
      changed();
      if (tasks.every(({ done }) => done)) tellPages('All is done. Well done!');
      return task;
    },

    async *watch(_, { signal }) {
      // It aborts when the page has left, or its connection is lost.
      signal.addEventListener('abort', changed);
      while (!signal.aborted) {
        const next = new Promise<void>((resolve) => waiting.push(resolve));
        yield tasks;
        await next;
      }
    },
  });
}
