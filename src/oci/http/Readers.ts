/**
 * Responses that are read from the store: how many at once, and what a slow client costs.
 *
 * A response has a place while it is open at the store. If its client does not read on while others wait, it is overtaken: its
 * object is closed, the connection stays, and the object is opened again where it ended once the client has read. So slow
 * clients keep no connection to the store, and their downloads continue.
 */
import { Readable } from "node:stream"
import { Clock, Data, Duration, Effect, Exit, Scope } from "effect"
import type { OpenBytes, Opening } from "../../storage/Readables.ts"
import { type MinimumRate, type Pace, paceOf } from "./MinimumRate.ts"
import * as Places from "./Places.ts"
import { steadyMillis } from "./Steady.ts"

/** As many responses as are sent wait, and did so for too long. */
export class ReadersFull extends Data.TaggedError("ReadersFull") {
  override get message(): string {
    return "The registry sends as many blobs as it can. Repeat the request in a few seconds."
  }
}

/** Options of the readers. */
export interface ReadersOptions {
  /** Places for responses. */
  readonly max: number
  /** Longest that a response waits for its place. */
  readonly roomWithin: Duration.Duration
  /** Least rate at which a client reads. */
  readonly minimumRate: MinimumRate
  /** How long a response keeps its place at least. Infinite: responses are never overtaken. */
  readonly overtakeAfter: Duration.Duration
}

/** A place for a response, until the scope closes. */
export interface Readers {
  /** Waits for a place for a client (`clientOf`). Fails with `ReadersFull` if that takes too long. */
  readonly take: (client: string) => Effect.Effect<Places.Transfer, ReadersFull, Scope.Scope>
  readonly load: () => Places.Load
  /** Returns for how long responses have waited and none got a place, in milliseconds. */
  readonly stuckMillis: () => number
  readonly minimumRate: MinimumRate
}

/**
 * A fast download keeps its place for so long while others wait. Without turns, a hundred machines that pull one large image
 * waited for the first ones to end, and were refused after half a minute.
 */
const turn = Duration.seconds(5)

/** Overtaken responses hold a buffer of a stream and no connection to the store. Connections are bounded elsewhere. */
const unbounded = { overtakenMax: Number.POSITIVE_INFINITY, overtakenBytesMax: Number.POSITIVE_INFINITY }

/** Makes places for responses. The scope's end stops the fiber that looks for slow ones. */
export const make = Effect.fnUntraced(function* ({
  max,
  minimumRate,
  overtakeAfter,
  roomWithin
}: ReadersOptions): Effect.fn.Return<Readers, never, Scope.Scope> {
  const places = yield* Places.make({
    max,
    overtakeAfter,
    heldBytesMax: 0,
    ...unbounded,
    turn: Duration.isFinite(overtakeAfter) ? turn : undefined
  })
  return {
    take: Effect.fnUntraced(function* (client) {
      const transfer = yield* Effect.acquireRelease(
        Effect.sync(() => places.begin(client)),
        ({ end }) => Effect.sync(end)
      )
      yield* Effect.timeoutOrElse(transfer.take, {
        duration: roomWithin,
        orElse: () => Effect.fail(new ReadersFull())
      }).pipe(Effect.catchTag("TransferShed", () => Effect.fail(new ReadersFull())))
      return transfer
    }),
    load: places.load,
    stuckMillis: places.stuckMillis,
    minimumRate
  }
})

/** A client reads more slowly than the least rate, or has lost its place for ever. Its connection ends. */
export class ReaderTooSlow extends Data.TaggedError("ReaderTooSlow") {
  override get message(): string {
    return "The client read more slowly than SERVE_MINIMUM_RATE allows, or stalled while others waited. Its connection was closed; it can ask for the rest."
  }
}

/** Where the bytes of a response come from. */
export interface Source<E> {
  /** The length of the response, in bytes. */
  readonly sizeBytes: number
  /** Opens the bytes from this offset on. Null: they cannot be opened again, and an overtaken response ends. */
  readonly reopen: ((from: number) => Opening<E>) | null
  /** Called when an overtaken response begins to wait for its place, and when it has one. Its client is not to blame meanwhile. */
  readonly onWait: (isWaiting: boolean) => void
}

/**
 * Returns the bytes of a response as one stream, which opens the store again after it was overtaken. `first` is open and has its
 * place. The scope's end closes everything.
 */
export const resumable = Effect.fnUntraced(function* <E>(
  first: OpenBytes<E>,
  firstScope: Scope.Closeable,
  transfer: Places.Transfer,
  source: Source<E>,
  rate: MinimumRate
) {
  const scope = yield* Effect.scope
  const services = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const run = Effect.runForkWith(services)
  const pace = paceOf(rate)
  let open: { readonly bytes: OpenBytes<E>; readonly scope: Scope.Closeable } | null = null
  let sent = 0
  let unread = 0
  let isOpening = false
  let isHungry = false
  const close = () => {
    const closed = open
    open = null
    if (closed !== null) run(Scope.close(closed.scope, Exit.void))
  }
  const attach = (bytes: OpenBytes<E>, scopeOfBytes: Scope.Closeable, { readable } = bytes) => {
    open = { bytes, scope: scopeOfBytes }
    const isOpen = () => open?.bytes === bytes
    readable.on("data", (chunk: Uint8Array) => {
      if (!isOpen()) return
      sent += chunk.length
      unread += chunk.length
      isHungry = out.push(chunk)
      if (isHungry) return
      readable.pause()
      pace.waits(steadyMillis(clock))
      transfer.waits()
    })
    readable.once("end", () => {
      if (!isOpen()) return
      close()
      transfer.end()
      out.push(null)
    })
    failing(readable, out, isOpen)
  }
  const reopening = Effect.gen(function* () {
    source.onWait(true)
    yield* transfer.take
    source.onWait(false)
    const again = yield* Scope.fork(scope)
    const bytes = yield* Scope.provide((source.reopen ?? impossible)(sent), again)
    isOpening = false
    if (out.destroyed || !transfer.holds())
      return yield* Effect.andThen(Scope.close(again, Exit.void), Effect.sync(reopen))
    attach(bytes, again)
    bytes.readable.resume()
  }).pipe(Effect.catch((error) => Effect.sync(() => out.destroy(error as Error))))
  const reopen = (): void => {
    if (isOpening || out.destroyed) return
    if (sent >= source.sizeBytes) return void out.push(null)
    isOpening = true
    run(reopening)
  }
  const out = new Readable({
    read() {
      isHungry = true
      pace.moved(unread, steadyMillis(clock))
      transfer.moved(unread)
      unread = 0
      if (open !== null) return void open.bytes.readable.resume()
      reopen()
    },
    destroy(error, done) {
      close()
      transfer.end()
      done(error)
    }
  })
  transfer.onLost = (isEnded) => {
    if (isEnded || source.reopen === null) return void out.destroy(new ReaderTooSlow())
    close()
    // Node asked for bytes already, or never asks again, because it has all.
    if (isHungry || sent >= source.sizeBytes) reopen()
  }
  transfer.hasTurns = source.reopen !== null
  attach(first, firstScope)
  // A listener made it flow. It flows again once the response reads.
  first.readable.pause()
  yield* Effect.forkScoped(endingSlow(out, pace, clock))
  yield* Effect.addFinalizer(() => Effect.sync(() => out.destroy()))
  return out
})

/** Ends a response whose bytes fail, while they are open. */
const failing = (bytes: Readable, out: Readable, isOpen: () => boolean): void => {
  bytes.once("error", (cause) => {
    if (isOpen()) out.destroy(cause)
  })
  bytes.once("close", () => {
    if (isOpen()) out.destroy(new Error("The store closed its bytes before their end"))
  })
}

/** Ends a response whose client reads more slowly than the least rate. */
const endingSlow = Effect.fnUntraced(function* (out: Readable, pace: Pace, clock: Clock.Clock) {
  while (!out.closed) {
    const left = pace.millisLeft(steadyMillis(clock))
    if (left <= 0) return void out.destroy(new ReaderTooSlow())
    if (!Number.isFinite(left)) return
    yield* Effect.sleep(Math.max(left, 10))
  }
})

const impossible = (): never => {
  throw new Error("A response that cannot be opened again was opened again")
}
