/** The hash of a session that is continued from chunk to chunk: which bytes are read again, and that no digest is ever wrong. */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type {
  SavedHash,
  StagedChunk,
  UploadSession
} from "../../../src/oci/database/contract/UploadSessions.ts"
import type { UploadStatus } from "../../../src/oci/Uploads.ts"
import { make, type SessionHashes } from "../../../src/oci/uploads/SessionHashes.ts"
import { begun, libraryVersion } from "../../../src/oci/uploads/WritableHash.ts"
import { fails, lands } from "../../../src/testing/Faults.ts"
import { memory } from "../../fixtures/FaultTable.ts"
import {
  body,
  bytesOf,
  cleansUp,
  close,
  digestOf,
  open,
  pulled,
  refusal,
  repository,
  type Scripts,
  Stage,
  sound,
  stageOf
} from "../../fixtures/oci/UploadStage.ts"
import { Tables } from "../../fixtures/Tables.ts"

/** Chunks of any size are joined by the store, so that bytes are read for their digest alone. */
const play = <A, E>(test: Effect.Effect<A, E, Stage | Tables>) =>
  test.pipe(
    Effect.tap(() => sound),
    Effect.provide(Layer.provideMerge(stageOf({ uploads: { joinFromBytes: 1 } }), memory)),
    Effect.scoped
  )

/** Sends the chunks, each to the replica that `turn` names. */
const sent = Effect.fnUntraced(function* (
  chunks: ReadonlyArray<string>,
  turn: (index: number) => 0 | 1,
  isOneOfSeveral: boolean
) {
  const { replicas } = yield* Stage
  let session: UploadStatus = yield* open()
  for (const [index, chunk] of chunks.entries()) {
    session = yield* replicas[turn(index)].append(repository, session.id, body(chunk), {
      startByte: session.receivedBytes,
      sizeBytes: chunk.length,
      isOneOfSeveral
    })
  }
  return session
})

/** Closes the session at a replica, and returns how many bytes were read. */
const readToClose = Effect.fnUntraced(function* (session: UploadStatus, content: string, replica: 0 | 1) {
  const { replicas, traffic } = yield* Stage
  const before = traffic.readBytes
  yield* replicas[replica].finish(repository, session.id, { digest: digestOf(content) })
  const readBytes = traffic.readBytes - before
  assert.strictEqual(yield* pulled(content), content)
  return readBytes
})

/** Changes the saved hash behind the replicas' backs. */
const tamper = Effect.fnUntraced(function* (change: (saved: SavedHash) => SavedHash | undefined) {
  const tables = yield* Tables
  const { sessions } = yield* tables.rows
  yield* tables.write({
    sessions: sessions.map((row) => ({ ...row, hash: row.hash === undefined ? undefined : change(row.hash) }))
  })
})

const chunks = ["one ", "two ", "three ", "four"]
const content = chunks.join("")
const alone = () => 0 as const
const inTurns = (index: number) => (index % 2 === 0 ? 0 : 1)

describe("the hash of a session of several chunks", () => {
  for (const isOneOfSeveral of [true, false]) {
    it.effect(`reads no byte again at the replica that took all chunks, announced: ${isOneOfSeveral}`, () =>
      play(
        Effect.gen(function* () {
          const session = yield* sent(chunks, alone, isOneOfSeveral)
          assert.strictEqual(yield* readToClose(session, content, 0), 0)
          yield* cleansUp(content)
        })
      )
    )
  }

  it.effect("reads no byte again although each request was sent to the other replica", () =>
    play(
      Effect.gen(function* () {
        assert.strictEqual(yield* readToClose(yield* sent(chunks, inTurns, true), content, 0), 0)
        assert.strictEqual(yield* readToClose(yield* sent(chunks, inTurns, true), content, 1), 0)
        yield* cleansUp(content)
      })
    )
  )

  it.effect("control: without the announcement, a session that moves is read again", () =>
    play(
      Effect.gen(function* () {
        const session = yield* sent(chunks, inTurns, false)
        assert.strictEqual(yield* readToClose(session, content, 0), content.length)
      })
    )
  )

  it.effect("reads the last chunks alone if they were not hashed, as by a replica of an older version", () =>
    play(
      Effect.gen(function* () {
        const session = yield* sent(chunks, inTurns, true)
        const { replicas } = yield* Stage
        // A row without the hash, as that replica leaves it behind: it neither reads nor writes these columns.
        yield* tamper((saved) => ({ ...saved, writtenBy: "put aside" }))
        const longer = yield* replicas[0].append(repository, session.id, body("!"), {
          startByte: content.length
        })
        yield* tamper((saved) => ({ ...saved, writtenBy: `${libraryVersion} sha256` }))
        assert.strictEqual(yield* readToClose(longer, `${content}!`, 1), 1)
      })
    )
  )

  it.effect("refuses a digest that the bytes do not have, and leaves the session open", () =>
    play(
      Effect.gen(function* () {
        const session = yield* sent(chunks, inTurns, true)
        assert.strictEqual(yield* refusal(close(session, "another")), "DigestMismatch")
        yield* readToClose(session, content, 1)
      })
    )
  )

  it.effect("is of the algorithm of the session alone", () =>
    play(
      Effect.gen(function* () {
        const { replicas } = yield* Stage
        const session = yield* sent(chunks, inTurns, true)
        yield* replicas[0].finish(repository, session.id, { digest: digestOf(content, "sha512") })
        assert.strictEqual(yield* pulled(content, "sha512"), content)
      })
    )
  )
})

describe("a hash that a process keeps", () => {
  const session = (receivedBytes: number): UploadSession => ({
    id: "s",
    repository,
    algorithm: "sha256",
    state: "open",
    receivedBytes,
    digest: null,
    lastActivityAt: 0
  })
  const staged = (key: string, startByte: number, bytes: string): StagedChunk => ({
    key: ObjectKey.make(key),
    startByte,
    sizeBytes: bytes.length,
    digest: digestOf(bytes)
  })
  const taken = Effect.fnUntraced(function* (hashes: SessionHashes, chunk: StagedChunk, bytes: string) {
    const hash = yield* hashes.chunk(session(chunk.startByte), false)
    hash.beside.update(bytesOf(bytes))
    hash.beside.ended(createHash("sha256").update(bytes))
    hash.keep(chunk)
  })
  const [one, two] = [staged("a", 0, "one "), staged("b", 4, "two")]

  it.effect("counts only for a session of exactly its chunks, as a restored database may have others", () =>
    Effect.gen(function* () {
      const hashes = make()
      yield* taken(hashes, one, "one ")
      yield* taken(hashes, two, "two")
      assert.strictEqual(hashes.digestOf(session(7), [one, two]), digestOf("one two"))
      assert.isNull(hashes.digestOf(session(7), [one, staged("c", 4, "TWO")]))
      assert.isNull(hashes.digestOf(session(4), [one]))
      assert.isNull(hashes.digestOf({ ...session(7), algorithm: "sha512" }, [one, two]))
    })
  )

  it.effect("is forgotten after a chunk that it did not see, and with its session", () =>
    Effect.gen(function* () {
      const hashes = make()
      yield* taken(hashes, one, "one ")
      yield* taken(hashes, staged("c", 9, "far"), "far")
      assert.isNull(hashes.digestOf(session(12), [one, staged("c", 9, "far")]))
      yield* taken(hashes, one, "one ")
      hashes.forget("s")
      assert.isNull(hashes.digestOf(session(4), [one]))
    })
  )

  it.effect("is one of a bounded number, of which the least used are forgotten", () =>
    Effect.gen(function* () {
      const hashes = make(2)
      for (const id of ["a", "b", "a", "c"]) {
        const hash = yield* hashes.chunk({ ...session(0), id }, false)
        hash.beside.update(bytesOf("x"))
        hash.beside.ended(createHash("sha256").update("x"))
        hash.keep(staged(id, 0, "x"))
      }
      const known = ["a", "b", "c"].filter(
        (id) => hashes.digestOf({ ...session(1), id }, [staged(id, 0, "x")]) !== null
      )
      assert.deepStrictEqual(known, ["a", "c"])
    })
  )
})

describe("a saved hash in doubt", () => {
  const doubts: Record<string, (saved: SavedHash) => SavedHash | undefined> = {
    "that is absent": () => undefined,
    "of another version": (saved) => ({ ...saved, writtenBy: "hash-wasm 9.9.9 sha256" }),
    "of fewer bytes": (saved) => ({ ...saved, bytes: 1 }),
    "of more bytes": (saved) => ({ ...saved, bytes: saved.bytes + 1 }),
    "that is damaged": (saved) => ({
      ...saved,
      state: saved.state.map((byte, at) => (at > 90 ? byte ^ 1 : byte))
    }),
    "that is cut short": (saved) => ({ ...saved, state: saved.state.subarray(1) })
  }
  for (const [name, change] of Object.entries(doubts)) {
    it.effect(`${name} is not used: the bytes are read again and tell the digest`, () =>
      play(
        Effect.gen(function* () {
          const session = yield* sent(chunks, inTurns, true)
          yield* tamper(change)
          // The first replica took the last chunk but one, so it keeps no hash of the whole.
          assert.isAtLeast(yield* readToClose(session, content, 0), content.length)
          yield* cleansUp(content)
        })
      )
    )
  }

  it.effect("that missed a chunk is not used, not even for the digest that it tells", () =>
    play(
      Effect.gen(function* () {
        const three = yield* sent(chunks.slice(0, 3), inTurns, true)
        const [row] = (yield* (yield* Tables).rows).sessions
        const state = row?.hash?.state ?? new Uint8Array()
        const { replicas } = yield* Stage
        const whole = yield* replicas[1].append(repository, three.id, body("four"), {
          startByte: three.receivedBytes,
          isOneOfSeveral: true
        })
        // The state of three chunks under the number of four: a state that was parted from its chunk.
        yield* tamper((saved) => ({ ...saved, state }))
        const digest = digestOf(chunks.slice(0, 3).join(""))
        const refused = refusal(replicas[0].finish(repository, whole.id, { digest }))
        assert.strictEqual(yield* refused, "DigestMismatch")
        assert.strictEqual(yield* readToClose(whole, content, 0), content.length)
      })
    )
  )

  it.effect("control: one that passes all checks and is of other bytes makes a blob of the wrong bytes", () =>
    play(
      Effect.gen(function* () {
        const { replicas } = yield* Stage
        const session = yield* sent(chunks, inTurns, true)
        const other = content.toUpperCase()
        const hash = yield* begun("sha256")
        hash?.update(Buffer.from(other))
        yield* tamper((saved) => hash?.save(session.id) ?? saved)
        yield* replicas[0].finish(repository, session.id, { digest: digestOf(other) })
        assert.strictEqual(yield* pulled(other), content)
      })
    )
  )
})

describe("a hash after a request that was lost", () => {
  const faults = {
    "before the store has the bytes": (scripts: Scripts) => scripts.storage.next("put", fails("Unavailable")),
    "after the store has the bytes, and before the database knows": (scripts: Scripts) =>
      scripts.database.next("sessions.append", fails("Unavailable")),
    "after the database has the chunk, and before the client is answered": (scripts: Scripts) =>
      scripts.database.next("sessions.append", lands("Unavailable"))
  }
  for (const [when, strike] of Object.entries(faults)) {
    it.effect(`is that of the acknowledged bytes: ${when}`, () =>
      play(
        Effect.gen(function* () {
          const { replicas, scripts } = yield* Stage
          const session = yield* sent(["one ", "two "], inTurns, true)
          strike(scripts[0])
          const options = { startByte: 8, isOneOfSeveral: true }
          yield* Effect.exit(replicas[0].append(repository, session.id, body("LOST"), options))
          const { receivedBytes } = yield* replicas[1].status(repository, session.id)
          const taken = receivedBytes === 8 ? "" : "LOST"
          const rest = yield* replicas[1].append(repository, session.id, body("three"), {
            startByte: receivedBytes,
            isOneOfSeveral: true
          })
          const bytes = `one two ${taken}three`
          assert.strictEqual(yield* readToClose(rest, bytes, 0), 0)
          yield* cleansUp(bytes)
        })
      )
    )
  }
})
