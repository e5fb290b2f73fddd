/** A process of the simulated world: the unit that crashes. */
import type { Fiber } from "effect"
import type { OpenTransaction } from "../../../src/database/Memory.ts"

/** Names what a process does. */
export type Role =
  | "writer"
  | "collector"
  | "deleter"
  | "reader"
  | "stager"
  | "operator"
  | "host"
  | "pusher"
  | "retagger"
  | "unannounced"

/** A transaction that a host has open. */
export interface HostWork {
  readonly transaction: OpenTransaction
  /** Tells the oracle that the transaction has ended without an acknowledged commit. */
  readonly gaveUp: () => void
}

/** Holds the state of one process. */
export interface Process {
  readonly name: string
  readonly role: Role | "janitor"
  /** Milliseconds by which its clock is ahead of the world's time. */
  aheadMillis: number
  /** True if the clock is off by so much that no collector may delete by it. */
  readonly hasWrongClock: boolean
  /** The process does not run before this step, as if its machine was paused. */
  pausedUntil: number
  state: "running" | "ending" | "ended"
  fiber: Fiber.Fiber<unknown, unknown> | null
  /** Null unless it is a host in a transaction. */
  host: HostWork | null
}

/** Creates a process that has not started. */
export const make = (name: string, role: Process["role"], wrongByMillis = 0): Process => ({
  name,
  role,
  aheadMillis: wrongByMillis,
  hasWrongClock: wrongByMillis !== 0,
  pausedUntil: 0,
  state: "running",
  fiber: null,
  host: null
})
