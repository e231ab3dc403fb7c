/** Light or dark: as the system has it, until the user chooses. */
import { button, setText } from './dom.js';

const KEY = 'getty-console-theme';
const CHOICES = ['auto', 'light', 'dark'] as const;
type Choice = (typeof CHOICES)[number];

const listeners = new Set<() => void>();
const system = matchMedia('(prefers-color-scheme: dark)');
system.addEventListener('change', notify);

function notify(): void {
  for (const listener of listeners) listener();
}

/** Calls `listener` when the colors have changed, until the returned function is called. */
export function onThemeChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function read(): Choice {
  try {
    const saved = localStorage.getItem(KEY);
    return CHOICES.find((choice) => choice === saved) ?? 'auto';
  } catch {
    // The browser keeps no data for this page.
    return 'auto';
  }
}

let current = read();
apply();

function apply(): void {
  if (current === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = current;
}

/** A button that goes from one choice to the next. */
export function themeSwitch(): HTMLButtonElement {
  const element = button(
    '',
    () => {
      current = CHOICES[(CHOICES.indexOf(current) + 1) % CHOICES.length] as Choice;
      apply();
      show();
      try {
        localStorage.setItem(KEY, current);
      } catch {
        // The choice is for this page only.
      }
      notify();
    },
    { class: 'quiet theme' },
  );
  const show = (): void => {
    setText(element, `Theme: ${current}`);
  };
  show();
  return element;
}
