/**
 * Why a guard lets no sweep begin, or no blob go. Each says what was found, where, and what a person can do; nothing is
 * deleted while it stands. The schema guard's own is SchemaRefused.
 */
import { Schema } from "effect"

const seconds = (millis: number): string => `${(Math.abs(millis) / 1000).toFixed(1)} s`

/** Clocks disagree: waits would end too early or too late, and nobody could tell from a report. */
export class ClockRefused extends Schema.TaggedError<ClockRefused>()("ClockRefused", {
  /**
   * The clock that is off, by two against one; `undecided` when only two were compared or all three differ.
   */
  culprit: Schema.Literals(["host", "database", "store", "undecided"]),
  /** Milliseconds by which the database's and the store's clocks are ahead of this host's. */
  databaseSkewMillis: Schema.Finite,
  /** Null where the store has no clock of its own. */
  storeSkewMillis: Schema.NullOr(Schema.Finite),
  toleranceMillis: Schema.Finite
}) {
  override get message(): string {
    const of = (name: string, skew: number) =>
      `the ${name}'s clock is ${seconds(skew)} ${skew < 0 ? "behind" : "ahead of"} this host's`
    const found = [
      of("database", this.databaseSkewMillis),
      ...(this.storeSkewMillis === null ? [] : [of("store", this.storeSkewMillis)])
    ].join(", ")
    const who =
      this.culprit === "undecided"
        ? "Which one is wrong cannot be told"
        : `It is the ${this.culprit}'s clock that is off`
    return `Clocks disagree by more than ${seconds(this.toleranceMillis)}: ${found}. ${who}; nothing was deleted. Set the clock right (NTP), or raise GC_CLOCK_TOLERANCE.`
  }
}

/** Another collector works on the same catalogue with other settings: the shorter wait would win. */
export class SettingsRefused extends Schema.TaggedError<SettingsRefused>()("SettingsRefused", {
  /** The other collector's id. */
  peer: Schema.String,
  /** When it last began a sweep, ISO 8601. */
  seenAt: Schema.String,
  /** One line for each setting in which they differ: `NAME: ours here, theirs there`. */
  differences: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Collector ${this.peer} (last sweep ${this.seenAt}) works on this catalogue with other settings:\n${this.differences.map((line) => `  ${line}`).join("\n")}\nNothing was deleted. Give both the same settings, or stop one; if it is gone already, it is forgotten GC_PRESENCE after its last sweep. GC_MIXED_SETTINGS=allow lets them differ.`
  }
}

/** Deleting would not do what one expects of it in this store. */
export class StoreRefused extends Schema.TaggedError<StoreRefused>()("StoreRefused", {
  store: Schema.String,
  problem: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `${this.store}: ${this.problem}. Nothing was deleted. ${this.fix}`
  }
}

/** More would go than a mistake may take. Stays until a person confirms. */
export class BreakerOpen extends Schema.TaggedError<BreakerOpen>()("BreakerOpen", {
  breaker: Schema.String,
  /** ISO 8601. */
  trippedAt: Schema.String,
  /** It is not open; a sweep would have opened it now. For dry runs. */
  foreseen: Schema.optionalKey(Schema.Boolean),
  /** How much of what, in words. */
  found: Schema.String,
  /** Where a person looks before confirming. */
  look: Schema.String,
  blobs: Schema.Int,
  bytes: Schema.Finite,
  totalBlobs: Schema.Int,
  totalBytes: Schema.Finite
}) {
  override get message(): string {
    const state =
      this.foreseen === true
        ? "A sweep would open the breaker"
        : `The breaker is open since ${this.trippedAt}`
    return `${state}: ${this.found}. None of them was deleted. ${this.look}. If it is right that they go: artifact-gc breaker --confirm.`
  }
}

/**
 * An audit found more to repair than a mistake would leave. One of its own, because nothing of it outlasts
 * the run.
 */
export class RepairRefused extends Schema.TaggedError<RepairRefused>()("RepairRefused", {
  ownerless: Schema.Int,
  bytes: Schema.Finite,
  /** Objects below the blob prefix that something or nothing owns. */
  listed: Schema.Int
}) {
  override get message(): string {
    const percent = ((100 * this.ownerless) / Math.max(1, this.listed)).toFixed(1)
    return `${this.ownerless} of ${this.listed} objects (${percent} %, ${this.bytes} bytes) belong to nothing in this catalogue, more than GC_BREAKER_BLOBS and GC_BREAKER_PERCENT allow. None of them was deleted. Is this the right database for this store, and does every writer name its keys in it? If it is right that they go, run it once more with GC_BREAKER_PERCENT=100.`
  }
}
