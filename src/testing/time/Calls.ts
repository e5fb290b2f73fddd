/** Calls that a test waits for: those of services that reach a server. */
import { type Context, Effect, Layer } from "effect"

/** Calls of watched services that have not been answered. Made by `Time.calls`. */
export interface Calls {
  /** Returns the names of the calls that are under way. */
  readonly underWay: () => ReadonlyArray<string>
  /** Calls `listener` once, when the next call is answered. Returns how to withdraw it. */
  readonly onAnswer: (listener: () => void) => () => void
  /** Counts the calls of a service. Effects and functions that return effects are calls, at any depth. */
  readonly watch: <Self, Service extends object>(
    service: Context.Service<Self, Service>
  ) => Layer.Layer<Self, never, Self>
}

/** What is counted. */
export interface CallsOptions {
  /**
   * Names of calls that wait for something to happen, and so are no work that a test waits for. Default:
   * `suspects.arrival`, by which a collector waits for suspects.
   */
  readonly waits?: ReadonlyArray<string> | undefined
}

const defaultWaits = ["suspects.arrival"]

/** Returns a watch over services that reach a server. */
export const calls = ({ waits = defaultWaits }: CallsOptions = {}): Calls => {
  const open = new Map<symbol, string>()
  const listeners = new Set<() => void>()
  const answered = (call: symbol) => {
    open.delete(call)
    const told = [...listeners]
    listeners.clear()
    for (const listener of told) listener()
  }
  const counted: Counted = (name, effect) =>
    waits.includes(name)
      ? effect
      : Effect.suspend(() => {
          const call = Symbol(name)
          open.set(call, name)
          return Effect.ensuring(
            effect,
            Effect.sync(() => answered(call))
          )
        })
  return {
    underWay: () => [...open.values()],
    onAnswer: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    watch: (service) =>
      Layer.effect(
        service,
        Effect.map(service, (inner) => watched(inner, counted, ""))
      )
  }
}

type Counted = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const watched = <Service extends object>(service: Service, counted: Counted, prefix: string): Service => {
  const members = Object.entries(service).map(([key, member]: [string, unknown]) => {
    const name = `${prefix}${key}`
    if (Effect.isEffect(member)) return [key, counted(name, member)]
    if (typeof member === "function") {
      return [
        key,
        (...args: ReadonlyArray<unknown>) => {
          const answer: unknown = Reflect.apply(member, service, args)
          return Effect.isEffect(answer) ? counted(name, answer) : answer
        }
      ]
    }
    return [key, isGroup(member) ? watched(member, counted, `${name}.`) : member]
  })
  return Object.fromEntries(members)
}

/** Verbs of a group are plain records. */
const isGroup = (member: unknown): member is object =>
  typeof member === "object" && member !== null && Object.getPrototypeOf(member) === Object.prototype
