/** What a scenario of simulate() uses. */

import type { Random } from '../random.js';
import type { Duration } from './durations.js';

export interface SimulationOptions {
  /** An integer. The same seed gives the same trace. Default: 1. */
  readonly seed?: number | undefined;
  /**
   * How long the hosts run, in virtual time, also when the scenario is done earlier. Default:
   * until the scenario is done.
   */
  readonly duration?: Duration | undefined;
  /**
   * The scenario must be done after this virtual time, else the simulation fails with
   * SIMULATION_TIMEOUT. At most `duration`. Default: `duration`; without it one hour.
   */
  readonly limit?: Duration | undefined;
  /**
   * Ends the simulation when it aborts, in real time: with SIMULATION_ABORTED, and the reason of
   * the signal as the cause. Give it the signal of a test, so that a test that times out leaves no
   * simulation. Default: none.
   */
  readonly signal?: AbortSignal | undefined;
  /** The date at the start, in milliseconds since 1970. Default: 2024-01-01T00:00:00Z. */
  readonly startDate?: number | undefined;
  /** The options of all links. Default: a latency of 1 ms, and no faults. */
  readonly link?: LinkOptions | undefined;
  /** Called with each line of the trace. If it throws or rejects, the simulation fails. */
  readonly onTrace?: ((line: string) => unknown) | undefined;
  /**
   * Whether the message of SIMULATION_STALLED and SIMULATION_TIMEOUT has each `await` that has not
   * ended, and the code that has created each timer. The simulation takes longer then, and has the
   * same trace. Default: false.
   */
  readonly stacks?: boolean | undefined;
}

/** The path of packets from one host to another. */
export interface LinkOptions {
  /**
   * Milliseconds that each packet takes, or the shortest and the longest time, between which each
   * packet takes a random one. Default: 1.
   */
  readonly latency?: number | readonly [min: number, max: number] | undefined;
  /**
   * Milliseconds: the mean of a further delay of each packet. It is distributed exponentially, so a
   * few packets take much longer. Default: 0.
   */
  readonly jitter?: number | undefined;
  /**
   * The probability that a packet is lost, from 0 to 1, 1 excluded. A lost datagram does not
   * arrive. A stream sends a lost segment again after 200 ms, then after 400 ms, and so on; later
   * bytes wait for it. Default: 0.
   */
  readonly loss?: number | undefined;
  /** The probability that a datagram arrives twice, from 0 to 1. Default: 0. */
  readonly duplicate?: number | undefined;
  /**
   * The probability that a datagram is delayed, so that later ones arrive before it, from 0 to 1.
   * Other datagrams stay in order. Default: 0.
   */
  readonly reorder?: number | undefined;
  /** Bytes per second, of all connections between the two hosts. Default: Infinity. */
  readonly bandwidth?: number | undefined;
}

/** A host, by its name or as host() has returned it. */
export type HostName = string | { readonly name: string };

/** The simulated network. Each host has a link to each other host, in both directions. */
export interface Network {
  /** Sets the links between two hosts, in both directions. Throws BAD_OPTION. */
  between(one: HostName, other: HostName, options: LinkOptions): void;
  /** Sets the link from one host to another, in this direction only. Throws BAD_OPTION. */
  oneWay(from: HostName, to: HostName, options: LinkOptions): void;
  /**
   * Loses all packets between the hosts of two groups until heal(). Streams that are open stay
   * open: they send again after growing delays, and fail after about 15 minutes. `oneWay`: only
   * packets from the first group to the second are lost. Returns a function that ends this
   * partition and no other one; it does nothing if the partition has ended. Throws BAD_OPTION.
   */
  partition(
    group: readonly HostName[],
    others: readonly HostName[],
    options?: { readonly oneWay?: boolean },
  ): () => void;
  /** Ends all partitions. */
  heal(): void;
  /**
   * The network forgets all streams that are open between two hosts: their packets are lost from
   * now on, and neither side is informed. New streams work. Throws BAD_OPTION.
   */
  halfOpen(one: HostName, other: HostName): void;
}

/** A simulated computer with one process, whose code is `start` and what that calls. */
export interface Host<T = unknown> {
  readonly name: string;
  readonly state: 'running' | 'paused' | 'crashed';
  /**
   * Settles as `start` of the present process does. Rejects with HOST_DOWN if the host crashes
   * before, or is crashed.
   */
  ready(): Promise<T>;
  /**
   * Runs `task` in the process of this host, and settles as it does. Rejects with HOST_DOWN if the
   * host crashes before, or is crashed.
   */
  run<R>(task: () => R | Promise<R>): Promise<R>;
  /**
   * Ends the process as a power failure does: its connections and timers are gone, and no peer is
   * informed. What its code writes or starts afterwards has no effect. Does nothing if the host is
   * crashed.
   */
  crash(): void;
  /**
   * Ends the process as SIGKILL does: its code and timers are gone, and the system of the host
   * closes its connections at once. Peers receive what the process had sent and the end of the
   * stream, or a reset if the process had not read all bytes. New connections are refused, and the
   * state is `crashed`. Does nothing if no process runs.
   */
  kill(): void;
  /**
   * Crashes the host if it is not crashed, then calls `start` again. Variables of your modules
   * keep their values, and performance.now() goes on: it is the same on all hosts.
   */
  restart(): void;
  /**
   * Stops the process as SIGSTOP does. Its timers and received bytes wait; its operating system
   * still accepts connections and bytes. Does nothing unless the host runs.
   */
  pause(): void;
  /** Continues a paused process, as SIGCONT does. */
  resume(): void;
  /** Changes the date of the host; timers and performance.now() do not change. */
  jumpClock(by: Duration, direction?: 'forward' | 'backward'): void;
}

/** Virtual time. */
export interface Clock {
  /** Milliseconds since the start of the simulation. */
  readonly now: number;
  /**
   * Calls `action` at this time after the start. If it throws or rejects, the simulation fails.
   * Throws BAD_OPTION for a time in the past.
   */
  at(time: Duration, action: () => unknown): void;
  /** Resolves after this time. */
  sleep(time: Duration): Promise<void>;
}

/** What a scenario gets. */
export interface Simulation {
  /**
   * Adds a host to the network, and calls `start` in its process at once. The name is the host of
   * its addresses: `sim://name:port`. If `start` rejects, the simulation fails, unless the host has
   * crashed. Throws BAD_OPTION.
   */
  host<T>(name: string, start?: () => T | Promise<T>): Host<T>;
  readonly network: Network;
  readonly clock: Clock;
  /** Random numbers from the seed, for decisions of the scenario. */
  readonly random: Random;
  /**
   * Adds a line to the trace: the time, the name of the host whose code runs, and the text.
   */
  trace(text: string): void;
  /**
   * Ends the simulation as failed, with `error` as the cause: code of a host has found that
   * something is wrong. It returns, and the simulation ends when the running code waits next. Use
   * it where a throw would be caught, such as in a handler. Without effect in the code of a process
   * that has crashed.
   */
  fail(error: unknown): void;
}

/** What simulate() resolves with. */
export interface SimulationResult<T> {
  /** What the scenario returned. */
  readonly value: T;
  readonly seed: number;
  /** The virtual time that has passed, in milliseconds. */
  readonly duration: number;
  /** The number of lines of the trace. */
  readonly traceLines: number;
  /** The SHA-256 of the trace, as hex digits. */
  readonly traceHash: string;
}
