/**
 * The memory backend as a model of the others: random commands run on both, and after each the answers and all rows
 * must be the same. Tests of the sweep rely on the twin, so where it diverges they prove nothing.
 */

import { assert, it } from "@effect/vitest"
import { Arbitrary, Context, Effect, Exit, Layer, Option, Schema } from "effect"
import type { Reference } from "../../src/artifacts/Artifacts.ts"
import type { ClaimedSlice, Pin, PurgeCursor, ScanEnd, Slice, Suspect } from "../../src/database/Database.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { artifact, blob, dead, digest, file, key, minute, now, orphan } from "../fixtures/samples.ts"
import { Tables } from "../fixtures/Tables.ts"
import { type CandidateCommand, candidateVerbs, noted, runCandidate, watch } from "./twin/Candidates.ts"
import { type ManifestCommand, manifestRows, manifestVerbs, runManifest } from "./twin/Manifests.ts"
import { runSession, type SessionCommand, sessionRows, sessionVerbs } from "./twin/Sessions.ts"

/** A failure shrinks towards the first. */
const verbs = [
  "nothing",
  "upload",
  "upload",
  "publish",
  "publish",
  "publish",
  "adopt",
  "hold",
  "hold",
  "release",
  "renew",
  "unreference",
  "scan",
  "scan",
  "scan",
  "find",
  "purge",
  "purge",
  "purge",
  "claim",
  "confirm",
  "postpone",
  "retry",
  "reap",
  "read",
  "verify",
  "miss",
  "forget",
  ...sessionVerbs,
  ...manifestVerbs,
  ...candidateVerbs
] as const

const upTo = (max: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: max }))

/** What the numbers mean depends on the verb. Small ranges, so that commands meet. */
const command = Arbitrary.schema(
  Schema.Struct({
    verb: Schema.Literals(verbs),
    a: upTo(7),
    b: upTo(7),
    flag: Schema.Boolean,
    /** In steps of the touch interval, because that is where things change. */
    at: upTo(8)
  })
)
type Command = typeof command extends Arbitrary.Arbitrary<infer A> ? A : never

/** A catalogue that has seen something, so that little need happen before the interesting happens. */
const beginning = Arbitrary.all({
  blobs: Arbitrary.array(Arbitrary.schema(Schema.Struct({ used: upTo(8), state: upTo(3) })), {
    minLength: 8,
    maxLength: 8
  }),
  dead: Arbitrary.array(Arbitrary.schema(upTo(8)), { minLength: 4, maxLength: 4 }),
  /** Blobs to which nothing refers, unseen, held by a pin, sighted, or condemned and held. */
  lonely: Arbitrary.array(Arbitrary.schema(Schema.Struct({ used: upTo(8), state: upTo(3) })), {
    minLength: 4,
    maxLength: 4
  }),
  watched: Arbitrary.schema(Schema.Boolean)
})
type Beginning = typeof beginning extends Arbitrary.Arbitrary<infer A> ? A : never

/** Blobs are referenced, unseen, seen or condemned; dead keys are due at different times. */
const rowsOf = (given: Beginning): Parameters<Tables["Service"]["write"]>[0] => ({
  blobs: [...given.blobs, ...given.lonely].map(({ used }, n) => blob(n, { lastUsedAt: instant(used) })),
  references: given.blobs.flatMap(({ state }, n) => (state === 0 ? [artifact(`tag ${n % 3}-${n}`, n)] : [])),
  orphans: [...given.blobs, ...given.lonely].flatMap(({ used, state }, n) =>
    state < 2 ? [] : [orphan(n, instant(used), state === 2 ? null : instant(used))]
  ),
  pins: given.lonely.flatMap(({ used, state }, n) =>
    state % 2 === 0 ? [] : [pinOf(n, digest(n + given.blobs.length), instant(used))]
  ),
  suspects: given.blobs.flatMap(({ used }, n) => (used < 6 ? [] : [{ digest: digest(n), key: key(n) }])),
  journal: given.dead.map((at, n) => dead(n + 20, { notBefore: instant(at) })),
  ...sessionRows(given.blobs),
  ...manifestRows(given.blobs)
})

/** What a caller of the database would know. */
interface Memory {
  readonly uploads: Array<{ readonly key: ObjectKey; readonly digest: Digest; readonly sizeBytes: number }>
  readonly ends: Array<ScanEnd | null>
  cursor: PurgeCursor | null
}

const instant = (at: number): number => now + at * 15 * minute

const references = (c: Command): ReadonlyArray<Reference> => [
  c.flag ? artifact(`tag ${c.a % 3}`, c.a) : file(`path ${c.a % 3}`, c.a),
  artifact(`tag ${c.b % 3}-${c.b}`, c.b)
]

const pinOf = (n: number, of: Digest, expiresAt: number): Pin => ({
  id: `pin ${n % 5}`,
  digest: of,
  expiresAt
})

const sliceOf = (c: Command): Slice => ({
  after: c.a === 0 ? null : digest(c.a),
  upTo: c.b === 0 ? null : digest(c.a + c.b),
  blobs: 0
})

const sorted = <A>(items: Iterable<A>): ReadonlyArray<A> =>
  [...items].sort((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1))

const scan = Effect.fnUntraced(function* ({ orphans }: Database["Service"], memory: Memory, c: Command) {
  const collector = c.flag ? 1 : 0
  const end = memory.ends[collector] ?? null
  const claimed: Option.Option<ClaimedSlice> = yield* orphans.claimSlice(1 + (c.a % 4), end)
  if (Option.isNone(claimed)) {
    memory.ends[collector] = null
    return claimed
  }
  memory.ends[collector] ??= { pass: claimed.value.pass + 1, after: claimed.value.after }
  const found = yield* orphans.find(claimed.value)
  const seen = found.map((orphan) => orphan.digest)
  const doomed = seen.filter((_, index) => ((c.b >> (index % 3)) & 1) === 1)
  const cleared = yield* orphans.record(claimed.value, {
    now: instant(c.at),
    seen,
    condemned: doomed,
    sweep: `s${c.b}`
  })
  return { claimed, found, cleared }
})

const purge = Effect.fnUntraced(function* ({ orphans }: Database["Service"], memory: Memory, c: Command) {
  const page = yield* orphans.purge({
    now: instant(c.at),
    condemnedCutoff: instant(c.at - (c.a % 2)),
    seenCutoff: instant(c.at - (c.a % 2)),
    usedCutoff: instant(c.at - (c.b % 3)),
    limit: 1 + c.b,
    after: c.flag ? memory.cursor : null,
    deleteNotBefore: instant(c.at + (c.a % 2)),
    leaseUntil: c.flag ? null : instant(c.at + 1)
  })
  memory.cursor = page.next
  return { ...page, purged: sorted(page.purged) }
})

/** Runs one command and answers in a form that compares. */
const run = (side: Side, c: Command): Effect.Effect<unknown, unknown> => {
  const { database, memory } = side
  const { orphans, journal, blobs, suspects } = database
  const at = instant(c.at)
  const picked = memory.uploads.filter((_, index) => index % 3 === c.b % 3)
  const keys = [key(c.a), key(20 + (c.b % 4)), ...picked.map((upload) => upload.key)]
  switch (c.verb) {
    case "nothing":
      return Effect.void
    case "upload": {
      const uploads = [c.a, c.b].map((n, index) => ({
        key: key(`upload-${memory.uploads.length + index}`),
        digest: digest(n),
        sizeBytes: n
      }))
      memory.uploads.push(...uploads)
      return blobs.intend(
        uploads.map((upload) => ({
          key: upload.key,
          digest: c.flag ? upload.digest : null,
          expiresAt: at
        }))
      )
    }
    case "publish":
      return blobs.publish(
        at,
        picked.map((upload) => ({
          ...upload,
          references: c.flag
            ? [artifact(`tag ${c.a % 3}`, 0)].map((r) => ({ ...r, digest: upload.digest }))
            : [],
          pins: c.a > 4 ? [pinOf(c.a + c.b, upload.digest, at)] : []
        }))
      )
    case "adopt":
      return Effect.map(blobs.adopt(at, references(c)), sorted)
    case "hold": {
      const pins = [pinOf(c.a, digest(c.b), at), pinOf(c.b, digest(c.a), at)]
      const release = [`pin ${c.at % 5}`]
      return Effect.map(
        blobs.adopt(at, c.a > 5 ? [] : references(c), { pins, release, allOrNothing: c.flag }),
        sorted
      )
    }
    case "release":
      return c.flag ? journal.expirePins(at, 1 + c.a) : blobs.unpin([`pin ${c.a % 5}`, `pin ${c.b % 5}`])
    case "renew":
      return Effect.all([
        Effect.map(blobs.renew(keys, instant(c.at + c.a)), sorted),
        Effect.forEach(keys.slice(2, 3), (announced) => blobs.recordMultipart(announced, `parts ${c.a}`))
      ])
    case "unreference":
      return blobs.unreference(references(c))
    case "scan":
      return scan(database, memory, c)
    case "find":
      return Effect.all([orphans.find(sliceOf(c)), orphans.readSlice(sliceOf(c).after, 1 + c.b)])
    case "purge":
      return purge(database, memory, c)
    case "claim":
      return journal.claim(at, instant(c.at + 1), 1 + c.a)
    case "confirm":
      return journal.confirm(keys)
    case "postpone":
      return journal.postpone(
        keys.map((postponed, index) => ({
          key: postponed,
          notBefore: instant(c.at + 1),
          attempts: c.a,
          error: "SlowDown",
          deadAt: index % 2 === 0 ? at : null
        }))
      )
    case "retry":
      return journal.retry(at, c.flag ? "all" : keys)
    case "verify":
      return Effect.gen(function* () {
        const page = yield* suspects.page(c.flag ? digest(c.a) : null, 1 + c.b)
        const to = key(`upload-${memory.uploads.length}`)
        const suspect = page.at(-1) ?? suspectOf(c.b)
        memory.uploads.push({ key: to, digest: suspect.digest, sizeBytes: c.b })
        yield* blobs.intend([{ key: to, digest: suspect.digest, expiresAt: at }])
        const pageWithoutNumbers = page.map((one) => ({ ...one, latest: 0 }))
        return [pageWithoutNumbers, yield* suspects.rekey(at, suspect, to, instant(c.at + 1))]
      })
    case "miss":
      return suspects.drop(at, suspectOf(c.a))
    case "forget":
      return suspects.forget(10)
    case "reap":
      return journal.reapIntents(at, instant(c.at + 1), 1 + c.a)
    case "read":
      return Effect.all([
        Effect.map(blobs.owned(keys), sorted),
        blobs.locate(digest(c.a)),
        journal.deadLetters(c.flag ? key(`upload-${c.a}`) : null, 2),
        database.audit.lookup(keys),
        Effect.map(Effect.all([database.backlog(at), side.tables.rows]), ([backlog, rows]) => ({
          ...backlog,
          // Compared with the queue of the same side: how often a statement queues a blob does not matter.
          candidates: backlog.candidates - rows.candidates.length
        }))
      ])
    default:
      if (isOneOf(manifestVerbs, c.verb)) return runManifest(database, { ...c, verb: c.verb })
      if (isOneOf(candidateVerbs, c.verb)) return runCandidate(side, { ...c, verb: c.verb })
      return runSession(database, memory, { ...c, verb: c.verb })
  }
}

const suspectOf = (n: number): Suspect => ({
  digest: digest(n),
  key: key(n),
  sizeBytes: n,
  settled: false,
  latest: 0
})

type SomeVerb = ManifestCommand["verb"] | SessionCommand["verb"] | CandidateCommand["verb"]

const isOneOf = <Verb extends SomeVerb>(verbs: ReadonlyArray<Verb>, verb: SomeVerb): verb is Verb =>
  verbs.some((one) => one === verb)

interface Side {
  readonly database: Database["Service"]
  readonly tables: Tables["Service"]
  readonly memory: Memory
}

const side = <E, R>(layer: Layer.Layer<Database | AllDatabases.Databases | Tables | R, E>) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(layer)
    const database = Context.get(context, Database)
    yield* database.inspect
    const memory: Memory = { uploads: [], ends: [null, null], cursor: null }
    return { database, tables: Context.get(context, Tables), memory } satisfies Side
  })

const tables = [
  ...(["blobs", "references", "orphans", "journal", "intents", "pins"] as const),
  ...(["sessions", "chunks", "manifests", "tags", "suspects", "scan"] as const)
]

/** The report of a property quotes messages only, so the difference has to be in there. */
const same = (what: string, other: unknown, model: unknown): void => {
  const difference = `${what}
  model: ${JSON.stringify(model)}
  other: ${JSON.stringify(other)}`
  assert.deepStrictEqual(other, model, difference)
}

/** Registers the comparison of memory with `layer`. More runs with TWIN_RUNS. */
export const twinContract = <E, R>(
  name: string,
  layer: Layer.Layer<Database | AllDatabases.Databases | Tables | R, E>
): void => {
  it.effect.prop(
    `answers and keeps rows as ${name} does, whatever is done to both`,
    { beginning, commands: Arbitrary.array(command, { minLength: 25, maxLength: 60 }) },
    ({ beginning: given, commands }) =>
      Effect.gen(function* () {
        const [model, other] = [yield* side(Databases.memory), yield* side(layer)]
        yield* model.tables.write(rowsOf(given))
        yield* other.tables.write(rowsOf(given))
        if (given.watched) for (const one of [model, other]) yield* watch(one, true)
        for (const [step, c] of commands.entries()) {
          const at = `step ${step}: ${JSON.stringify(c)}`
          const expected = yield* Effect.exit(run(model, c))
          const answer = yield* Effect.exit(run(other, c))
          assert.isTrue(Exit.isSuccess(expected), at)
          same(`${at}: the answer`, answer, expected)
          const [rows, modelRows] = [yield* other.tables.rows, yield* model.tables.rows]
          for (const table of tables) same(`${at}: ${table}`, rows[table], modelRows[table])
          same(`${at}: candidates`, noted(rows), noted(modelRows))
        }
      }).pipe(Effect.scoped),
    { timeout: 300_000, arbitrary: { runs: Number(process.env.TWIN_RUNS ?? 25), size: 40 } }
  )
}
