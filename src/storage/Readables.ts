/**
 * The Node form of a stream of stored bytes, for consumers that pipe: no effect runs for each chunk.
 *
 * A backend attaches it to the stream that its `get` returns. It belongs to that stream alone. A stream that was derived from it
 * has none, so a wrapper that changes or checks bytes is never passed by, and a backend without one is read as a stream.
 */
import type { Readable } from "node:stream"
import type { Effect, Scope, Stream } from "effect"

/** Bytes that are open for reading. */
export interface OpenBytes<E> {
  /** The bytes, for one pipe. It is destroyed when the scope closes. It fails if the store fails. */
  readonly readable: Readable
  /** Translates an error that `readable` emitted. */
  readonly failure: (cause: unknown) => E
}

/** Opens bytes for reading. Succeeds after the store has found them, and fails as the stream does at its begin. */
export type Opening<E> = Effect.Effect<OpenBytes<E>, E, Scope.Scope>

const openings = new WeakMap<object, unknown>()

/** Attaches the Node form of `stream` and returns `stream`, which must be a new one. */
export const withOpening = <E>(
  stream: Stream.Stream<Uint8Array, E>,
  opening: Opening<E>
): Stream.Stream<Uint8Array, E> => {
  openings.set(stream, opening)
  return stream
}

/** Returns the Node form of exactly this stream, or null if it has none. */
export const openingOf = <E>(stream: Stream.Stream<Uint8Array, E>): Opening<E> | null =>
  (openings.get(stream) as Opening<E> | undefined) ?? null
