/** How a simulation comes between an app and its own services. */
import { Effect, Stream } from "effect"
import { call } from "./Caller.ts"
import type { Traits } from "./Network.ts"

/** The errors of a service's methods. */
export type ErrorsOf<Service> = {
  [Name in keyof Service]: Service[Name] extends (
    ...args: never
  ) => Effect.Effect<unknown, infer E, unknown> | Stream.Stream<unknown, infer E, unknown>
    ? E
    : Service[Name] extends Effect.Effect<unknown, infer E, unknown>
      ? E
      : never
}[keyof Service]

/** How the calls of a gated service fail. */
export interface GateOptions<Service> {
  /**
   * Returns the error that a caller sees when its call fails, or gets no answer: the outcome is unknown then.
   * It must be an error that the method can have. Default: calls always work, and only wait. Their process
   * may still die meanwhile.
   */
  readonly failure?: (method: string) => ErrorsOf<Service>
  /** Methods that a client or a network may repeat by itself, e.g. an upload. Default: none. */
  readonly repeatable?: ReadonlyArray<keyof Service & string>
}

/**
 * Returns `service` with a gate at each method that returns an Effect or a Stream, and at each Effect. In a
 * simulation, a call waits in the network, works, fails, loses its answer or takes effect later, and its
 * process may die at it. Outside of a simulation the gate is open.
 *
 * The work of a call is one step on the server. It must not wait for promises, sockets or sleeps. A stream
 * arrives as a whole. Gate what your app shares with other processes (a table, a queue, a remote API), and
 * not what lives and dies with the process.
 *
 * ```ts
 * const mailbox = Simulation.gate(inMemoryMailbox, "Mailbox", { failure: () => new MailboxDown() })
 * ```
 */
export const gate = <Service extends object>(
  service: Service,
  name: string,
  { failure, repeatable = [] }: GateOptions<Service> = {}
): Service => {
  const traits = new Map<string, Traits>()
  const traitsOf = (method: string): Traits => {
    const known = traits.get(method)
    if (known !== undefined) return known
    const isRepeatable = (repeatable as ReadonlyArray<string>).includes(method)
    const made: Traits = { isRepeatable, isReadThenAct: true }
    traits.set(method, made)
    return made
  }
  const gated = (method: string, args: ReadonlyArray<unknown>, result: unknown): unknown => {
    const send = <A>(effect: Effect.Effect<A, unknown, unknown>) =>
      call(`${name}.${method}`, args, effect, { unknown: failure?.(method), traits: traitsOf(method) })
    if (Effect.isEffect(result)) return send(result as Effect.Effect<unknown, unknown, unknown>)
    if (Stream.isStream(result))
      return Stream.unwrap(
        Effect.map(send(Stream.runCollect(result as Stream.Stream<unknown, unknown, unknown>)), (items) =>
          Stream.fromIterable(items)
        )
      )
    return result
  }
  return new Proxy(service, {
    get: (target, key) => {
      const member: unknown = Reflect.get(target, key)
      if (typeof key === "symbol") return member
      if (typeof member !== "function") return gated(key, [], member)
      return (...args: ReadonlyArray<unknown>) =>
        gated(key, args, Reflect.apply(member as (...args: Array<unknown>) => unknown, target, args))
    }
  })
}
