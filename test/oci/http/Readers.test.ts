/** Responses that lose their place, at any moment: their clients get all bytes, once and in order. */
import { Readable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Scope } from "effect"
import type { Transfer } from "../../../src/oci/http/Places.ts"
import * as Readers from "../../../src/oci/http/Readers.ts"
import { until } from "../../fixtures/Until.ts"

const bytes = Buffer.from(Array.from({ length: 40_000 }, (_, at) => at % 251))
const pieceBytes = 1000
const pieces = bytes.length / pieceBytes

/** A store that opens the bytes from an offset on, and calls `sent` after each piece that it sent. */
const store = (sent: (count: number) => void) => {
  let opened = 0
  let count = 0
  const opening = (from: number) =>
    Effect.gen(function* () {
      opened += 1
      const rest = bytes.subarray(from)
      let at = 0
      const readable = new Readable({
        highWaterMark: 1,
        read() {
          setImmediate(() => {
            if (at >= rest.length) return void this.push(null)
            this.push(rest.subarray(at, at + pieceBytes))
            at += pieceBytes
            count += 1
            sent(count)
          })
        }
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => readable.destroy()))
      return { readable, failure: () => new Error("the store failed") }
    })
  return { opening, opened: () => opened }
}

/** A transfer that gets each place at once, and a function that takes it away. */
const transferOf = () => {
  let holds = true
  const waits: Array<boolean> = []
  const transfer: Transfer = {
    holds: () => holds,
    take: Effect.sync(() => {
      holds = true
    }),
    waits: () => undefined,
    moved: () => undefined,
    end: () => undefined,
    onLost: null,
    hasTurns: false
  }
  const lose = () => {
    if (!holds) return
    holds = false
    transfer.onLost?.(false)
  }
  return { transfer, lose, waits }
}

const noRate = { bytesPerSecond: 0, window: Duration.minutes(1) }

/** Sends the bytes to a client that reads `readMillis` for each piece, and takes the place away after these pieces of the store. */
const sending = (lostAfter: ReadonlyArray<number>, readMillis: number) =>
  Effect.gen(function* () {
    const { lose, transfer, waits } = transferOf()
    const { opened, opening } = store((count) => {
      if (lostAfter.includes(count)) setImmediate(lose)
    })
    const scope = yield* Scope.fork(yield* Effect.scope)
    const first = yield* Scope.provide(opening(0), scope)
    const out = yield* Readers.resumable(
      first,
      scope,
      transfer,
      { sizeBytes: bytes.length, reopen: opening, onWait: (isWaiting) => waits.push(isWaiting) },
      noRate
    )
    assert.isTrue(transfer.hasTurns)
    const received: Array<Buffer> = []
    let isEnded = false
    out.on("data", (chunk: Buffer) => {
      received.push(chunk)
      if (readMillis === 0) return
      out.pause()
      setTimeout(() => out.resume(), readMillis)
    })
    out.once("end", () => {
      isEnded = true
    })
    yield* until("all bytes arrive", () => isEnded)
    assert.isTrue(Buffer.concat(received).equals(bytes))
    return { opened: opened(), waits }
  }).pipe(Effect.scoped)

describe("a response that loses its place", () => {
  it.live.each([
    ["once, to a fast client", [10], 0, 2],
    ["again and again, to a fast client", [5, 10, 15, 20, 25, 30, 35], 0, 8],
    ["with its last byte", [pieces], 0, 1]
  ] as const)("%s, has all bytes", ([, lostAfter, readMillis, opens]) =>
    Effect.gen(function* () {
      const { opened, waits } = yield* sending(lostAfter, readMillis)
      assert.strictEqual(opened, opens)
      // The client is not to blame while the registry lets it wait.
      assert.deepStrictEqual(
        waits,
        Array.from({ length: 2 * (opens - 1) }, (_, at) => at % 2 === 0)
      )
    })
  )

  it.live("after any piece, to a slow client, has all bytes", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: pieces }, (_, at) => at + 1),
        (at) => sending([at], 1),
        { concurrency: 20 }
      )
    })
  )
})
