/**
 * The errors by which guards refuse a sweep or a deletion. Each says what was found, where, and what an
 * operator can do. Nothing is deleted while the cause persists. The schema guard fails with SchemaRefused.
 */
import { Schema } from "effect"
import { printable } from "./printable.ts"

const seconds = (millis: number): string => `${(Math.abs(millis) / 1000).toFixed(1)} s`

/** Says that clocks disagree. Waits would end too early or too late, and no report would show it. */
export class ClockRefused extends Schema.TaggedError<ClockRefused>()("ClockRefused", {
  /**
   * The clock that differs from the two others; `undecided` if only two were compared or all three differ.
   */
  culprit: Schema.Literals(["host", "database", "store", "undecided"]),
  /** Milliseconds by which the database's and the store's clocks are ahead of this host's. */
  databaseSkewMillis: Schema.Finite,
  /** Null if the store has no clock of its own. */
  storeSkewMillis: Schema.NullOr(Schema.Finite),
  /** GC_CLOCK_TOLERANCE, in milliseconds. */
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
        ? "It is unknown which one is wrong"
        : `The ${this.culprit}'s clock is wrong`
    return `Clocks disagree by more than ${seconds(this.toleranceMillis)}: ${found}. ${who}. Nothing was deleted. Correct the clock (NTP), or raise GC_CLOCK_TOLERANCE (clockTolerance).`
  }
}

/**
 * Says that it is unknown, or contradicts the settings, whether unannounced writers share the catalogue. Such
 * a writer skips an upload because it saw a row, and a purge in between leaves its reference without bytes.
 */
export class WritersRefused extends Schema.TaggedError<WritersRefused>()("WritersRefused", {
  /** `unsaid`: no answer was given. `unguarded`: the answer is `guarded`, and no trigger is installed. */
  reason: Schema.Literals(["unsaid", "unguarded"])
}) {
  override get message(): string {
    return this.reason === "unsaid" ? unsaidWriters : unguardedWriters
  }
}

const unsaidWriters = [
  "This catalogue existed before artifact-gc, and no setting says which writers share it. Nothing was deleted.",
  "GC_UNANNOUNCED_WRITERS=none (unannouncedWriters) says that every writer uses this package, or that none uses an object key twice.",
  "GC_UNANNOUNCED_WRITERS=guarded says that other writers do (insert on conflict do nothing, key made from the digest), and needs: artifact-gc migrate --guard-unannounced-writers.",
  "A wrong none loses bytes: such a writer sends nothing because it saw a row, the row is purged, and its reference has no object."
].join(" ")

const unguardedWriters =
  "GC_UNANNOUNCED_WRITERS (unannouncedWriters) is guarded, but the triggers against unannounced writers are not installed. Nothing was deleted. Run: artifact-gc migrate --guard-unannounced-writers. If no such writer is left, set GC_UNANNOUNCED_WRITERS=none."

/**
 * Says that another collector works on the same catalogue with other settings. The shorter wait would apply.
 */
export class SettingsRefused extends Schema.TaggedError<SettingsRefused>()("SettingsRefused", {
  /** Id of the other collector. */
  peer: Schema.String,
  /** Beginning of its last sweep, ISO 8601. */
  seenAt: Schema.String,
  /** One line for each setting in which they differ: `NAME: <own value> here, <other value> there`. */
  differences: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const peer = printable(this.peer)
    const differences = this.differences.map((line) => `  ${printable(line)}`).join("\n")
    return `Collector ${peer} (last sweep ${this.seenAt}) works on this catalogue with other settings:\n${differences}\nNothing was deleted. Give both the same settings, or stop one. A collector that was killed is forgotten GC_PRESENCE (presence) after its last sweep, or at once: artifact-gc collectors --forget=${peer}. GC_MIXED_SETTINGS=allow (mixedSettings) lets them differ.`
  }
}

/** Says that an operator or a program has paused all collectors of this catalogue. */
export class CollectionPaused extends Schema.TaggedError<CollectionPaused>()("CollectionPaused", {
  /** When it was paused, ISO 8601. */
  since: Schema.String,
  /** Who paused it. */
  by: Schema.String,
  /** Why. */
  reason: Schema.String,
  /** When the pause ends by itself, ISO 8601; null if it lasts until it is ended. */
  until: Schema.NullOr(Schema.String)
}) {
  override get message(): string {
    const until = this.until === null ? "until it is resumed" : `until ${this.until}`
    return `Collection is paused since ${this.since} by ${printable(this.by)}, ${until}: ${printable(this.reason)}. Nothing was deleted. To end the pause: artifact-gc resume, or resume of Collector. For one sweep in spite of it: artifact-gc sweep --even-if-paused.`
  }
}

/** Says that a delete in this store would not do what an operator expects. */
export class StoreRefused extends Schema.TaggedError<StoreRefused>()("StoreRefused", {
  /** Description of the store. */
  store: Schema.String,
  /** What deletes do there. */
  problem: Schema.String,
  /** What to do next. */
  fix: Schema.String
}) {
  override get message(): string {
    return `${this.store}: ${this.problem}. Nothing was deleted. ${this.fix}`
  }
}

/**
 * Says that the collector's tables belong to another catalogue, store or database. A sweep would delete keys of
 * one store in another, or rows whose objects it cannot see.
 */
export class BindingRefused extends Schema.TaggedError<BindingRefused>()("BindingRefused", {
  /** When the tables were bound, ISO 8601. */
  boundAt: Schema.String,
  /** One line for each difference: `NAME: <own value> here, <other value> bound`. */
  differences: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The collector's tables are bound to another place, since ${this.boundAt}:\n${this.differences.map((line) => `  ${line}`).join("\n")}\nNothing was deleted. Correct the settings (a second catalogue needs its own COLLECTOR_SCHEMA). If the place was changed on purpose, stop all collectors and run: artifact-gc rebind`
  }
}

/** Says that collectors are at work with the former binding. They would journal keys of the former store. */
export class RebindRefused extends Schema.TaggedError<RebindRefused>()("RebindRefused", {
  /** Their ids. */
  collectors: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Collectors are at work: ${this.collectors.join(", ")}. Nothing was changed. Stop them and run the command again. A collector that was killed is forgotten GC_PRESENCE after its last sweep.`
  }
}

/** Says that too many rows name objects that do not exist: a wrong key column or a wrong bucket looks like this. */
export class KeysRefused extends Schema.TaggedError<KeysRefused>()("KeysRefused", {
  /** Description of the store. */
  store: Schema.String,
  /** What the catalogue is called in the settings: schema, table and key column. */
  catalogue: Schema.String,
  /** Rows drawn at random. */
  sampled: Schema.Int,
  /** Those of them that have no object. */
  missing: Schema.Int,
  /** A few of the missing keys. */
  keys: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.missing} of ${this.sampled} rows that were drawn at random (${this.catalogue}) name objects that do not exist in ${this.store}, e.g. ${this.keys.join(", ")}. Nothing was deleted. Check CATALOG_KEY_COLUMN and the bucket. To see all: artifact-gc audit. If some objects are lost and the settings are right: artifact-gc rebind --confirm accepts the present share.`
  }
}

/** Says that the database may have forgotten the rows of objects that nothing owns. Persists until an operator confirms. */
export class AgeRefused extends Schema.TaggedError<AgeRefused>()("AgeRefused", {
  /** Why the database may be older than the store: a clause. */
  why: Schema.String,
  /** Begin of the time that it may have forgotten, ISO 8601. */
  from: Schema.String,
  /** End of that time, ISO 8601. */
  to: Schema.String,
  /** Objects of that time without an owner that were found so far. */
  objects: Schema.Int
}) {
  override get message(): string {
    return `The database may be older than the store: ${this.why}. At least ${this.objects === 1 ? "1 object that nothing owns was" : `${this.objects} objects that nothing owns were`} written between ${this.from} and ${this.to}. None of them was deleted. If the database was restored, put the lost rows back first (docs/operations.md, Backups; artifact-gc audit lists the objects). To allow their deletion: artifact-gc breaker --confirm age.`
  }
}

/** Says that a sweep would delete more than a mistake may take. Persists until an operator confirms. */
export class BreakerOpen extends Schema.TaggedError<BreakerOpen>()("BreakerOpen", {
  /** Which breaker is open. */
  breaker: Schema.String,
  /** When it tripped, ISO 8601. */
  trippedAt: Schema.String,
  /** True in a dry run: the breaker is not open, but a sweep would trip it now. */
  foreseen: Schema.optionalKey(Schema.Boolean),
  /** What is held back, with its amount. */
  found: Schema.String,
  /** What compares with it in the last month. Absent where nothing is noted. */
  usual: Schema.optionalKey(Schema.String),
  /** Where an operator looks before confirming. */
  look: Schema.String,
  /** Blobs, manifests or objects held back. */
  blobs: Schema.Int,
  /** Their size. */
  bytes: Schema.Finite,
  /** All blobs, manifests or objects. */
  totalBlobs: Schema.Int,
  /** Their size. */
  totalBytes: Schema.Finite
}) {
  override get message(): string {
    const state =
      this.foreseen === true
        ? "A sweep would trip the breaker"
        : `The breaker is open since ${this.trippedAt}`
    const usual = this.usual === undefined ? "" : ` ${this.usual}.`
    return `${state}: ${this.found}.${usual} None of them was deleted. ${this.look}. To allow their deletion: artifact-gc breaker --confirm ${this.breaker}.`
  }
}

/**
 * Says that an audit found more to repair than a mistake may take. It is no `BreakerOpen`, because it does
 * not outlast the run.
 */
export class RepairRefused extends Schema.TaggedError<RepairRefused>()("RepairRefused", {
  /** Objects below the blob prefix that nothing owns. */
  ownerless: Schema.Int,
  /** Their size. */
  bytes: Schema.Finite,
  /** All objects below the blob prefix. */
  listed: Schema.Int
}) {
  override get message(): string {
    const percent = ((100 * this.ownerless) / Math.max(1, this.listed)).toFixed(1)
    return `Nothing in this catalogue owns ${this.ownerless} of ${this.listed} objects (${percent} %, ${this.bytes} bytes), more than GC_BREAKER_BLOBS and GC_BREAKER_PERCENT allow. None of them was deleted. Check that this is the right database for this store, and that every writer records its keys in it. To delete them, run the command again with GC_BREAKER_PERCENT=100.`
  }
}

/**
 * Says that a sweep lacks reference sources that earlier sweeps of this catalogue asked. Ends with a sweep that has
 * them, or when an operator confirms.
 */
export class SourcesMissing extends Schema.TaggedError<SourcesMissing>()("SourcesMissing", {
  /** The names of the sources. */
  missing: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Earlier sweeps of this catalogue asked reference sources that this one does not have: ${this.missing.join(", ")}. It would delete blobs that are referenced only there. Nothing was deleted. Give them to Sweep.layer({ sources }), or sweep with the app that has them; the artifact-gc program has none. If they are to stay away: artifact-gc breaker --confirm sources.`
  }
}

/**
 * Says that foreign keys to blobs are gone that earlier sweeps found, while their tables exist. Ends when the
 * keys are back, or when an operator confirms.
 */
export class ReferencesChanged extends Schema.TaggedError<ReferencesChanged>()("ReferencesChanged", {
  /** The columns that lost their key: `schema.table (column)`. */
  missing: Schema.Array(Schema.String),
  /** The statements that add the keys again. */
  fixes: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const lines = this.missing.map(
      (name, index) => `  ${name}${this.fixes[index] === undefined ? "" : `\n    fix: ${this.fixes[index]}`}`
    )
    return `Foreign keys to blobs are gone that earlier sweeps found. Blobs referenced only there would be deleted:\n${lines.join("\n")}\nNothing was deleted. Sweeps continue by themselves when the keys are back. If they are to stay away: artifact-gc breaker --confirm.`
  }
}
