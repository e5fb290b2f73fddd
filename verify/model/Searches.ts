/** The searches of the model: what each looks for, with which sizes, and what is expected. */

/**
 * How a search looks. `all` visits every state. `shortest` looks for the shortest way to a broken promise.
 * `live` looks for a run in which something is garbage for ever.
 */
export type Kind = "all" | "shortest" | "live"

/** The model's options, passed to spin as definitions. */
export type Options = Readonly<Record<string, number>>

export interface Search {
  readonly name: string
  /** What the search shows, for the reader of its result. */
  readonly shows: string
  readonly kind: Kind
  /** Whether it runs with `--full` alone. */
  readonly full: boolean
  /** `holds`, the promise that breaks (`I1` to `I6`), or `reached`. */
  readonly expected: string
  readonly options: Options
  /** The model's file. Default `protocol.pml`. */
  readonly model?: string
}

type Holding = Pick<Search, "name" | "shows" | "options"> & Partial<Pick<Search, "kind" | "full">>

const holding: ReadonlyArray<Holding> = [
  {
    name: "safety",
    shows: "I1 I2 I4 I5: two writers, two keys, two collectors, any crashes and late requests",
    options: { K: 2, W: 2, C: 2 }
  },
  { name: "safety-3-writers", shows: "the same with three writers", options: { K: 2, W: 3 } },
  {
    name: "one-statement-with-fk",
    shows: "the second net: a purge in one statement, saved by the foreign key's own check",
    options: { ONE_STATEMENT: 1, FK_NET: 1 }
  },
  {
    name: "failover-with-delay",
    shows: "lost commits of a replica, and a delete delay longer than its lag",
    options: { LOST_COMMITS: 1, DELAY: 1 }
  },
  {
    name: "restored",
    shows: "I6: a restored backup, and what was written since is kept",
    options: { RESTORE: 1, AGE: 1, ONLY: 6, W: 1 }
  },
  {
    name: "two-catalogues",
    shows: "two catalogues with a set of tables and a bucket each, and one collector has bound the tables",
    options: { SECOND: 1, BINDING: 1, BUCKET: 1 }
  },
  {
    name: "live",
    shows: "I3: two writers, one key, two faults",
    kind: "live",
    options: { K: 1, W: 2, FAULTS: 2 }
  },
  {
    name: "live-2-keys",
    shows: "I3: one writer, two keys, one fault",
    kind: "live",
    options: { K: 2, W: 1, FAULTS: 1 }
  },
  {
    name: "live-no-journal",
    shows: "I3 without a journal: the leftover sweep alone suffices, later",
    kind: "live",
    options: { K: 1, W: 1, FAULTS: 2, NO_JOURNAL: 1 }
  },
  { name: "safety-3-keys", shows: "safety, three keys", full: true, options: { K: 3, W: 2 } },
  {
    name: "safety-3-keys-2-collectors",
    shows: "safety, one writer",
    full: true,
    options: { K: 3, W: 1, C: 2 }
  },
  { name: "safety-3-writers-2-collectors", shows: "safety", full: true, options: { K: 2, W: 3, C: 2 } },
  {
    name: "live-2-writers",
    shows: "I3, no fault",
    kind: "live",
    full: true,
    options: { K: 2, W: 2, FAULTS: 0 }
  },
  {
    name: "live-2-faults",
    shows: "I3, one writer",
    kind: "live",
    full: true,
    options: { K: 2, W: 1, FAULTS: 2 }
  }
]

const holds = holding.map((search): Search => ({ kind: "all", full: false, expected: "holds", ...search }))

/** Each mutant lacks one protection. */
const mutantList: ReadonlyArray<readonly [name: string, shows: string, expected: string, options: Options]> =
  [
    [
      "one-statement",
      "purge looks for references on the snapshot from before its lock",
      "I1",
      { ONE_STATEMENT: 1 }
    ],
    ["no-recheck", "purge does not check a condemned row again", "I1", { NO_RECHECK: 1 }],
    ["delete-first", "the object is deleted before the purge commits", "I1", { DELETE_FIRST: 1, ONLY: 1 }],
    ["delete-first-reader", "the same, seen by a reader", "I4", { DELETE_FIRST: 1, ONLY: 4 }],
    ["same-key", "an upload uses its key again (the digest itself)", "I1", { SAME_KEY: 1, K: 1, W: 1 }],
    [
      "intend-again",
      "an intend whose answer was lost is repeated, and may have been reaped",
      "I1",
      { INTEND_AGAIN: 1 }
    ],
    ["publish-blind", "publish does not ask whether its intent was reaped", "I1", { PUBLISH_BLIND: 1 }],
    ["ask-first", "the leftover sweep asks the database, then lists", "I1", { ASK_FIRST: 1 }],
    ["no-fk", "references are inserted without the foreign key's lock and check", "I1", { NO_FK: 1 }],
    ["pin-ignored", "purge does not look at pins", "I5", { PIN_IGNORED: 1 }],
    [
      "lost-commits",
      "a replica takes over without the last commits, no delete delay",
      "I1",
      { LOST_COMMITS: 1 }
    ],
    ["restored-unnoticed", "a restored backup is not noticed", "I6", { RESTORE: 1, ONLY: 6, W: 1 }],
    [
      "restored-unfinished",
      "what was unfinished at the backup is reaped after the restore",
      "I6",
      { RESTORE: 1, AGE: 1, AGE_WITHOUT_INTENTS: 1, ONLY: 6, W: 1 }
    ],
    ["two-catalogues-unbound", "two catalogues with one set of tables", "I1", { SECOND: 1 }]
  ]

const mutants = mutantList.map(
  ([name, shows, expected, options]): Search => ({
    name,
    shows,
    kind: "shortest",
    full: false,
    expected,
    options
  })
)

/** Each lacks a way by which garbage is found or deleted. */
const leakList: ReadonlyArray<readonly [name: string, shows: string, options: Options]> = [
  ["no-reaper", "intents are not reaped", { NO_REAPER: 1 }],
  ["no-leftovers", "no leftover sweep", { NO_LEFTOVERS: 1 }],
  [
    "no-journal",
    "dead keys are not journaled, and no leftover sweep",
    { NO_JOURNAL: 1, NO_LEFTOVERS: 1, FAULTS: 0 }
  ],
  ["no-expiry", "pins do not expire", { NO_EXPIRY: 1 }],
  [
    "two-buckets-unbound",
    "a collector of another bucket has the same journal",
    { SECOND: 1, BUCKET: 1, FAULTS: 0 }
  ]
]

const leaks = leakList.map(
  ([name, shows, options]): Search => ({
    name,
    shows,
    kind: "live",
    full: false,
    expected: "I3",
    options: { K: 1, W: 1, ...options }
  })
)

/** States that must be reachable: a model in which too little happens would hold, too. */
const witnessList: ReadonlyArray<readonly [name: string, shows: string]> = [
  ["reached-second-key", "a blob lives under its second key while a DELETE of the first is under way"],
  ["reached-clean", "every key was used and nothing is left"],
  ["reached-leftover", "a PUT takes effect after the delete, and the listing finds it"],
  ["reached-stale-mark", "a purge has locked a row that is referenced"],
  ["reached-reader", "a row is condemned between a reader's two steps"]
]

const witnesses = witnessList.map(
  ([name, shows], index): Search => ({
    name,
    shows,
    kind: "shortest",
    full: false,
    expected: "reached",
    options: { WITNESS: index + 1 }
  })
)

/** Unannounced writers and the end of tombstones. Each mutant lacks one rule. */
const unannouncedList: ReadonlyArray<
  readonly [name: string, shows: string, expected: string, options: Options]
> = [
  ["unannounced", "I1: unannounced writers, tombstones that end, two lessees of a key", "holds", {}],
  ["unannounced-leases", "a key leased twice is confirmed like any other: a zombie", "I1", { NO_LEASES: 1 }],
  ["unannounced-resent", "a DELETE that was sent again counts as definite", "I1", { NO_RESENT: 1 }],
  ["unannounced-patience", "tombstones end at once", "I1", { NO_PATIENCE: 1 }],
  ["unannounced-stale", "an old answer of the store serves a row inserted again", "I1", { STALE_TRUST: 1 }],
  ["unannounced-drop", "a dropped suspect leaves no tombstone", "I1", { NO_DROP_TOMB: 1 }],
  ["reached-in-place", "a suspect is verified in place and referred to", "reached", { WITNESS: 1 }],
  ["reached-ended", "content returns after its tombstones and is no suspect", "reached", { WITNESS: 2 }],
  ["reached-copied", "a copy lives while a DELETE of the old key is under way", "reached", { WITNESS: 3 }]
]

const unannounced = unannouncedList.map(
  ([name, shows, expected, options]): Search => ({
    name,
    shows,
    // Breadth first also where all states are visited: its runs are a million steps deep.
    kind: "shortest",
    full: false,
    expected,
    options,
    model: "unannounced.pml"
  })
)

export const searches: ReadonlyArray<Search> = [...holds, ...mutants, ...leaks, ...witnesses, ...unannounced]
