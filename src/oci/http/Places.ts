/**
 * Places for transfers: bodies that are received, or responses that are read from the store.
 *
 * A transfer that waits for its client is overtaken while others wait for a place: it keeps its connection and its bytes, and
 * waits for a place again when its client moves. So slow clients cannot keep places from fast ones. Overtaken transfers are
 * bounded in number and memory. Beyond that the slowest one is ended.
 *
 * A free place goes to the waiting client that holds the fewest. First come transfers that had no place yet; each fourth place
 * goes to one that was overtaken.
 *
 * All decisions are made synchronously, at instants of the `Clock` that only move forward.
 */
import { Clock, Data, Duration, Effect, Latch, type Scope } from "effect"
import { type RecentRate, recentRate } from "./RecentRate.ts"
import { steadyMillis } from "./Steady.ts"

/** Limits of the places. */
export interface PlacesOptions {
  /** The number of places. */
  readonly max: number
  /**
   * How long a transfer may let its place wait for its client, before it can be overtaken. Infinite: transfers are never
   * overtaken.
   */
  readonly overtakeAfter: Duration.Duration
  /** How long a transfer that has turns keeps its place while others wait, however fast it is. Default: to its end. */
  readonly turn?: Duration.Duration | undefined
  /** The most overtaken transfers. */
  readonly overtakenMax: number
  /** The most bytes that overtaken transfers hold together. */
  readonly overtakenBytesMax: number
  /** The most bytes that one overtaken transfer holds. */
  readonly heldBytesMax: number
}

/** A slow transfer was ended, because others waited. */
export class TransferShed extends Data.TaggedError("TransferShed") {
  override get message(): string {
    return "The registry is busy and this client was among the slowest, so its request was ended. Nothing of it was stored; repeat it in a few seconds."
  }
}

/** One body or response. */
export interface Transfer {
  /** Returns whether it has a place. */
  readonly holds: () => boolean
  /** Waits for a place, unless it has one. Fails with `TransferShed` after it was ended. */
  readonly take: Effect.Effect<void, TransferShed>
  /** Notes that its client is waited for. Until `moved` it may be overtaken. */
  readonly waits: () => void
  /** Notes bytes that its client moved. */
  readonly moved: (bytes: number) => void
  /** Gives its place back. Does nothing the second time. */
  readonly end: () => void
  /** Called when it loses its place: `isEnded` if it gets none again. */
  onLost: ((isEnded: boolean) => void) | null
  /** Whether it can go on after it lost its place at any moment. Default false: only while its client is waited for. */
  hasTurns: boolean
}

/** How places are used. */
export interface Load {
  readonly inHand: number
  /** Transfers that never had a place and wait for one. */
  readonly waiting: number
  readonly overtaken: number
}

/** Gives places to transfers. */
export interface Places {
  /** Begins a transfer of a client (`clientOf`). It has no place yet. */
  readonly begin: (client: string) => Transfer
  readonly load: () => Load
  /** Completes once fewer transfers wait than there are places. */
  readonly hasRoom: Effect.Effect<void>
  /** Returns for how long transfers have waited and none got a place, in milliseconds. */
  readonly stuckMillis: () => number
}

/** A slower transfer than the store is worth overtaking: 8 Mbit/s. */
const fastBytesPerSecond = 1024 * 1024

/** A transfer whose client was waited for that long is slow, however fast it was before. */
const stallMillis = 1000

/** A transfer is not ended before its client was waited for that long, unless it holds more than half of all places. */
const shedAfterMillis = 1000

/** Each so many places one goes to a transfer that was overtaken. */
const overtakenTurn = 4

interface Entry extends Transfer {
  readonly client: string
  readonly rate: RecentRate
  state: "new" | "waiting" | "holding" | "overtaken" | "ended"
  wasGranted: boolean
  waitsSince: number
  grantedAt: number
  waitedBeforeGrant: number
  movedSinceGrant: number
  movedBytes: number
  resume: (() => void) | null
}

/** Makes places. The scope's end stops the fiber that looks for slow transfers while others wait. */
export const make = Effect.fnUntraced(function* (
  options: PlacesOptions
): Effect.fn.Return<Places, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const someWait = yield* Latch.make(false)
  const core = new Core(options, () => steadyMillis(clock), someWait)
  const period = Duration.isFinite(options.overtakeAfter)
    ? Duration.max(options.overtakeAfter, Duration.millis(10))
    : Duration.seconds(1)
  const watching = Effect.gen(function* () {
    yield* someWait.await
    yield* Effect.sleep(period)
    core.dispatch()
  })
  yield* Effect.forkScoped(Effect.forever(watching))
  return core
})

class Core implements Places {
  private readonly all = new Set<Entry>()
  private readonly waiting = new Set<Entry>()
  private readonly holding = new Set<Entry>()
  private readonly overtaken = new Set<Entry>()
  private readonly held = new Map<string, number>()
  private readonly rooms = new Set<() => void>()
  private grants = 0
  private grantedAt = Number.NEGATIVE_INFINITY
  private readonly options: PlacesOptions
  private readonly now: () => number
  private readonly someWait: Latch.Latch

  constructor(options: PlacesOptions, now: () => number, someWait: Latch.Latch) {
    this.options = options
    this.now = now
    this.someWait = someWait
  }

  begin = (client: string): Transfer => {
    const entry: Entry = {
      client,
      rate: recentRate(),
      state: "new",
      wasGranted: false,
      waitsSince: 0,
      grantedAt: 0,
      waitedBeforeGrant: 0,
      movedSinceGrant: 0,
      movedBytes: 0,
      resume: null,
      onLost: null,
      hasTurns: false,
      holds: () => entry.state === "holding",
      take: Effect.suspend(() => this.taking(entry)),
      waits: () => {
        entry.rate.waits(this.now())
        if (this.waiting.size > 0) this.dispatch()
      },
      moved: (bytes) => {
        entry.rate.moved(bytes, this.now())
        entry.movedBytes += bytes
        entry.movedSinceGrant += bytes
      },
      end: () => {
        this.remove(entry)
        this.dispatch()
      }
    }
    this.all.add(entry)
    return entry
  }

  load = (): Load => ({
    inHand: this.holding.size,
    waiting: this.newcomers(),
    overtaken: this.apart().length
  })

  hasRoom: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.newcomers() < this.options.max) return resume(Effect.void)
    const enter = () => resume(Effect.void)
    this.rooms.add(enter)
    return Effect.sync(() => this.rooms.delete(enter))
  })

  stuckMillis = (): number => {
    let since = Number.POSITIVE_INFINITY
    for (const entry of this.waiting) if (!entry.wasGranted) since = Math.min(since, entry.waitsSince)
    return since === Number.POSITIVE_INFINITY ? 0 : this.now() - Math.max(since, this.grantedAt)
  }

  dispatch(): void {
    const now = this.now()
    while (this.waiting.size > 0) {
      const next = this.next()
      if (this.holding.size >= this.options.max && !this.makeRoom(next, now)) break
      this.grant(next, now)
    }
    if (this.waiting.size === 0) this.someWait.closeUnsafe()
    if (this.rooms.size > 0 && this.newcomers() < this.options.max) {
      const rooms = [...this.rooms]
      this.rooms.clear()
      for (const enter of rooms) enter()
    }
  }

  private taking(entry: Entry): Effect.Effect<void, TransferShed> {
    if (entry.state === "ended") return Effect.fail(new TransferShed())
    if (entry.state === "holding") return Effect.void
    this.overtaken.delete(entry)
    entry.state = "waiting"
    entry.waitsSince = this.now()
    entry.rate.rests(entry.waitsSince)
    this.waiting.add(entry)
    this.someWait.openUnsafe()
    this.dispatch()
    return Effect.callback<void, TransferShed>((resume) => {
      const enter = () => resume(entry.state === "ended" ? Effect.fail(new TransferShed()) : Effect.void)
      if (entry.state !== "waiting") return enter()
      entry.resume = enter
      return Effect.sync(() => {
        entry.resume = null
      })
    })
  }

  private newcomers(): number {
    let count = 0
    for (const { wasGranted } of this.waiting) if (!wasGranted) count += 1
    return count
  }

  /** Transfers that were overtaken, whether or not they wait for a place again. */
  private apart(): ReadonlyArray<Entry> {
    return [...this.overtaken, ...[...this.waiting].filter(({ wasGranted }) => wasGranted)]
  }

  private next(): Entry {
    const waiting = [...this.waiting]
    const again = waiting.filter(({ wasGranted }) => wasGranted)
    const fresh = waiting.filter(({ wasGranted }) => !wasGranted)
    const isTheirTurn = this.grants % overtakenTurn === overtakenTurn - 1
    const among = again.length > 0 && (isTheirTurn || fresh.length === 0) ? again : fresh
    return among.reduce((best, entry) => (this.share(entry) < this.share(best) ? entry : best))
  }

  private share({ client }: Entry): number {
    return this.held.get(client) ?? 0
  }

  private grant(entry: Entry, now: number): void {
    this.waiting.delete(entry)
    this.holding.add(entry)
    this.held.set(entry.client, this.share(entry) + 1)
    entry.state = "holding"
    entry.wasGranted = true
    entry.grantedAt = now
    entry.waitedBeforeGrant = entry.rate.waitedMillis(now)
    entry.movedSinceGrant = 0
    this.grants += 1
    this.grantedAt = now
    entry.resume?.()
  }

  private release(entry: Entry): void {
    if (!this.holding.delete(entry)) return
    const left = this.share(entry) - 1
    if (left > 0) this.held.set(entry.client, left)
    else this.held.delete(entry.client)
  }

  private remove(entry: Entry): void {
    this.release(entry)
    this.all.delete(entry)
    this.waiting.delete(entry)
    this.overtaken.delete(entry)
    entry.state = "ended"
  }

  /** Takes a place from a transfer that waits for its client, or has had its turn. Returns false if there is none. */
  private makeRoom(next: Entry, now: number): boolean {
    const slow = [...this.holding].filter((entry) => this.isSlow(entry, now) || this.hadTurn(entry, now))
    if (slow.length === 0) return false
    const victim = slow.reduce((worst, entry) => {
      const more = this.share(entry) - this.share(worst)
      return more > 0 || (more === 0 && rateOf(entry, now) < rateOf(worst, now)) ? entry : worst
    })
    if (this.isFull(victim) && !this.shed(next, now)) return false
    if (this.holding.size < this.options.max) return true
    this.release(victim)
    this.overtaken.add(victim)
    victim.state = "overtaken"
    victim.onLost?.(false)
    return true
  }

  /** The client's rate counts, not that of a slow store: only the time for which the client was waited for. */
  private isSlow({ movedSinceGrant, rate, waitedBeforeGrant }: Entry, now: number): boolean {
    const since = rate.waitsSince()
    if (since === null) return false
    const waited = rate.waitedMillis(now) - waitedBeforeGrant
    if (waited < Duration.toMillis(this.options.overtakeAfter)) return false
    return now - since >= stallMillis || (movedSinceGrant * 1000) / waited < fastBytesPerSecond
  }

  private hadTurn({ grantedAt, hasTurns }: Entry, now: number): boolean {
    return hasTurns && now - grantedAt >= Duration.toMillis(this.options.turn ?? Duration.infinity)
  }

  private isFull(victim: Entry): boolean {
    const apart = this.apart()
    const bytes = apart.reduce((sum, entry) => sum + this.heldBytes(entry), this.heldBytes(victim))
    return apart.length >= this.options.overtakenMax || bytes > this.options.overtakenBytesMax
  }

  private heldBytes({ movedBytes }: Entry): number {
    return Math.min(movedBytes, this.options.heldBytesMax)
  }

  /** Ends the slowest transfer. Returns false if all may still become fast. */
  private shed(next: Entry, now: number): boolean {
    const shares = new Map<string, number>()
    for (const { client } of this.all) shares.set(client, (shares.get(client) ?? 0) + 1)
    const isGreedy = ({ client }: Entry) =>
      client !== next.client && 2 * (shares.get(client) ?? 0) > this.all.size
    const candidates = [...this.apart(), ...[...this.holding].filter((entry) => this.isSlow(entry, now))]
    const slow = candidates.filter(
      (entry) => entry !== next && (entry.rate.waitedMillis(now) >= shedAfterMillis || isGreedy(entry))
    )
    if (slow.length === 0) return false
    const victim = slow.reduce((worst, entry) => (rateOf(entry, now) < rateOf(worst, now) ? entry : worst))
    this.remove(victim)
    victim.onLost?.(true)
    victim.resume?.()
    return true
  }
}

const rateOf = ({ rate }: Entry, now: number): number => rate.bytesPerSecond(now)
