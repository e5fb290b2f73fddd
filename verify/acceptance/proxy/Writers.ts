/** The proxy's writers: they derive keys from digests, skip a PUT where they see a row, and announce nothing. */
import { createHash } from "node:crypto"
import { Duration, Effect, Stream } from "effect"
import { SqlError } from "effect/sql"
import { sqlState } from "../../../src/database/postgres/Errors.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { Catalogue } from "./Catalogue.ts"

/** How many writers work at once. */
export const writers = 6
const slots = 8
const retryAfter = Duration.millis(200)

/** What happened to the writes. */
export interface Tally {
  writes: number
  /** Refusals by SQLSTATE. */
  readonly refused: Map<string, number>
  /** Milliseconds from the first refusal of a write to its success. */
  readonly waits: Array<number>
  /** Attempts that found no row of a content that had been written before: it had been collected. */
  returned: number
}

/** Returns a tally of nothing. */
export const emptyTally = (): Tally => ({ writes: 0, refused: new Map(), waits: [], returned: 0 })

const hexOf = (content: string) => createHash("sha256").update(content).digest("hex")
/** Returns the key that follows from a content. */
export const keyOf = (content: string): ObjectKey => {
  const hex = hexOf(content)
  return ObjectKey.make(`blobs/sha256/${hex.slice(0, 2)}/${hex}`)
}

const known = new WeakMap<Catalogue, Set<string>>()
const seenIn = (catalogue: Catalogue) => {
  const found = known.get(catalogue) ?? new Set<string>()
  known.set(catalogue, found)
  return found
}

/** Looks, sends the bytes where there is no row, inserts the row, refers to it. Each statement commits. */
const attempt = Effect.fnUntraced(function* (
  catalogue: Catalogue,
  tally: Tally,
  name: string,
  content: string
) {
  const { sql, store } = catalogue
  const digest = `sha256:${hexOf(content)}`
  const bytes = new TextEncoder().encode(content)
  const found = yield* sql`SELECT FROM blobs WHERE digest = ${digest}`
  if (found.length === 0 && seenIn(catalogue).has(content)) tally.returned += 1
  if (found.length === 0) yield* store.put(keyOf(content), Stream.make(bytes), bytes.length)
  if (Math.random() < 0.3) yield* Effect.sleep(Duration.millis(Math.random() * 800))
  yield* sql`
    INSERT INTO blobs (digest, object_key, size_bytes, created_at)
    VALUES (${digest}, ${keyOf(content)}, ${bytes.length}::bigint, now()) ON CONFLICT DO NOTHING`
  yield* sql`
    INSERT INTO artifacts (name, digest) VALUES (${name}, ${digest})
    ON CONFLICT (name) DO UPDATE SET digest = EXCLUDED.digest`
})

/** Writes one content under one name. After any error it rolls back, waits 0.2 s, and begins anew. */
export const write = Effect.fnUntraced(function* (
  catalogue: Catalogue,
  tally: Tally,
  name: string,
  content: string
) {
  let refusedAt: number | null = null
  while (true) {
    const outcome = yield* Effect.result(attempt(catalogue, tally, name, content))
    if (outcome._tag === "Success") break
    const state = SqlError.isSqlError(outcome.failure) ? (sqlState(outcome.failure) ?? "?") : "store"
    tally.refused.set(state, (tally.refused.get(state) ?? 0) + 1)
    refusedAt ??= performance.now()
    yield* Effect.sleep(retryAfter)
  }
  seenIn(catalogue).add(content)
  tally.writes += 1
  if (refusedAt !== null) tally.waits.push(performance.now() - refusedAt)
})

/** A writer that writes any of `contents` for ever, and evicts one of its rows after each write. */
export const busy = (catalogue: Catalogue, tally: Tally, writer: number, contents: number) => {
  const slot = () => `writer-${writer}/${Math.floor(Math.random() * slots)}`
  return Effect.forever(
    Effect.gen(function* () {
      yield* write(catalogue, tally, slot(), `content ${Math.floor(Math.random() * contents)}`)
      yield* catalogue.sql`DELETE FROM artifacts WHERE name = ${slot()}`
    })
  )
}

/** A writer whose content comes back only `after` its eviction. */
export const patient = (catalogue: Catalogue, tally: Tally, writer: number, after: Duration.Duration) =>
  Effect.forever(
    Effect.gen(function* () {
      const name = `writer-${writer}/0`
      for (let n = 0; n < 5; n++) yield* write(catalogue, tally, name, `content ${writer}-${n}`)
      yield* catalogue.sql`DELETE FROM artifacts WHERE name = ${name}`
      yield* Effect.sleep(after)
    })
  )
