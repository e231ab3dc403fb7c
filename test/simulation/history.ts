/** The history of a simulation: every call, how often its handler ran, and its outcome. */

/** Virtual milliseconds after its deadline by which a call must have an outcome. */
const DEADLINE_MARGIN = 50;

export interface CallOutcome {
  readonly at: number;
  /** Undefined: success. */
  readonly code: string | undefined;
  readonly isUnsent: boolean;
}

export interface RecordedCall {
  readonly id: string;
  /** Method and strategy. */
  readonly kind: string;
  readonly host: string;
  readonly isIdempotent: boolean;
  /** Success says that the call is queued, not that it ran. */
  readonly isOneway?: boolean;
  readonly startedAt: number;
  /** The latest time of an outcome without pauses of the host. */
  deadline: number;
  readonly outcomes: CallOutcome[];
  /** How often a handler has begun to run. */
  runs: number;
  /** The host of the caller has crashed before the outcome. */
  isAbandoned: boolean;
}

export class History {
  readonly #now: () => number;
  readonly #trace: (text: string) => void;
  readonly #calls = new Map<string, RecordedCall>();
  readonly #open = new Set<RecordedCall>();
  /** When each host was last resumed. */
  readonly #resumedAt = new Map<string, number>();
  /** What went wrong. Empty: nothing. */
  readonly violations: string[] = [];
  /** Outcomes by kind and code. */
  readonly counts = new Map<string, number>();

  constructor(now: () => number, trace: (text: string) => void = () => {}) {
    this.#now = now;
    this.#trace = trace;
  }

  get size(): number {
    return this.#calls.size;
  }

  /**
   * How many calls have no outcome and are not abandoned, or have succeeded and not run: the
   * request of a call without an answer can be under way.
   */
  get unfinishedCalls(): number {
    return this.#open.size + [...this.#calls.values()].filter(lacksRun).length;
  }

  begin(
    call: Pick<RecordedCall, 'kind' | 'host' | 'isIdempotent' | 'isOneway'>,
    timeout: number,
  ): RecordedCall {
    const startedAt = this.#now();
    const recorded: RecordedCall = {
      ...call,
      id: `${this.#calls.size + 1}`,
      startedAt,
      deadline: startedAt + timeout,
      outcomes: [],
      runs: 0,
      isAbandoned: false,
    };
    this.#calls.set(recorded.id, recorded);
    this.#open.add(recorded);
    return recorded;
  }

  /** A handler of the call begins to run on `host`. */
  run(id: string, host: string): void {
    this.#trace(`call ${id} runs on ${host}`);
    const call = this.#calls.get(id);
    if (call === undefined) this.violations.push(`a handler got the unknown call ${id}`);
    else call.runs++;
  }

  wrongAnswer(call: RecordedCall, answer: string): void {
    if (!call.isAbandoned) this.#violate(call, `it got the answer of another call: ${answer}`);
  }

  /** Code of a host that has crashed can still run; it has no outcome. */
  end(call: RecordedCall, error?: unknown): void {
    if (call.isAbandoned) return;
    const { code = 'no code', unsent = false } = (error ?? {}) as {
      code?: string;
      unsent?: boolean;
    };
    const outcome = {
      at: this.#now(),
      code: error === undefined ? undefined : code,
      isUnsent: unsent,
    };
    call.outcomes.push(outcome);
    this.#open.delete(call);
    const key = `${call.kind} ${outcome.code ?? 'OK'}`;
    this.#trace(`call ${call.id} ${key}${unsent ? ', unsent' : ''}`);
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    const latest = Math.max(call.deadline, this.#resumedAt.get(call.host) ?? 0) + DEADLINE_MARGIN;
    if (outcome.at > latest) this.#violate(call, `its outcome is ${outcome.at - latest} ms late`);
  }

  hostCrashed(host: string): void {
    for (const call of this.#open) {
      if (call.host !== host) continue;
      call.isAbandoned = true;
      this.#open.delete(call);
    }
  }

  hostResumed(host: string): void {
    this.#resumedAt.set(host, this.#now());
  }

  #violate(call: RecordedCall, what: string): void {
    this.violations.push(
      `call ${call.id} (${call.kind} of ${call.host} at ${call.startedAt} ms): ${what}`,
    );
  }

  /** Checks all calls. Call it when every call must have its outcome. */
  check(): void {
    for (const call of this.#calls.values()) {
      const { outcomes, runs, isAbandoned, isIdempotent } = call;
      const [outcome] = outcomes;
      if (outcomes.length !== 1 && !isAbandoned)
        this.#violate(call, `it has ${outcomes.length} outcomes`);
      if (!isIdempotent && runs > 1) this.#violate(call, `it is not idempotent, and ran ${runs}x`);
      if (lacksRun(call)) this.#violate(call, 'it succeeded, and did not run');
      if (outcome?.isUnsent === true && runs > 0)
        this.#violate(call, `it is reported as unsent, and ran ${runs}x`);
    }
  }
}

/** Whether the call has succeeded, should have run, and has not. */
function lacksRun({ outcomes: [outcome], runs, isOneway }: RecordedCall): boolean {
  return outcome !== undefined && outcome.code === undefined && runs < 1 && isOneway !== true;
}
