/**
 * Variables that look like settings and are none. A typo leaves its setting at the default, which may shorten a wait that
 * stands between a mistake and a loss.
 */
import { ConfigProvider, Effect } from "effect"
import { settings } from "./settings.ts"

const all = Object.values(settings)
const known: ReadonlySet<string> = new Set(all.map(({ env }) => env))
const secrets: ReadonlySet<string> = new Set(all.filter(({ secret }) => secret).map(({ env }) => env))

/** The first words of the settings' names. Other programs use all but `GC` as well. */
const prefixes: ReadonlyArray<string> = [...new Set([...known].map((env) => env.split("_")[0] ?? env))]

/** The prefix that is this program's own: every other name that begins with it is refused. */
const ownPrefix = "GC"

/** Kubernetes sets these variables in every pod beside a service called `gc`. */
const isServiceLink = (name: string): boolean =>
  /^GC_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/.test(name)

/** A name with more edits than this is another program's. */
const editsMax = 2

/** Returns one problem for each name that is no setting and looks like one, and for each secret that is empty. */
export const nameProblems = Effect.gen(function* () {
  const provider = yield* ConfigProvider.ConfigProvider
  const set = new Map<string, boolean>()
  for (const prefix of [...prefixes, ...prefixes.map((name) => name.toLowerCase())]) {
    yield* collect(provider, [prefix], set)
  }
  return [...set].flatMap(([name, hasValue]) => problemOf(name, hasValue, set))
})

/** Adds the names below a path to `set`, with whether each has a value. */
const collect = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>,
  set: Map<string, boolean>
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const node = yield* Effect.orDie(provider.load(path))
    // Names that go on with numbers alone resemble no setting, and the provider does not say which of them are set.
    const children = node?._tag === "Record" ? [...node.keys] : []
    const hasValue = node?.value !== undefined
    // A name without children is set, even where its value is empty.
    const isSet = hasValue || node === undefined
    if (path.length > 1 && isSet) set.set(path.join("_"), hasValue)
    for (const child of children) yield* collect(provider, [...path, child], set)
  })

const problemOf = (
  name: string,
  hasValue: boolean,
  set: ReadonlyMap<string, boolean>
): ReadonlyArray<string> => {
  if (known.has(name)) {
    return secrets.has(name) && !hasValue
      ? [`${name}: set, but empty; write its value, or remove the variable`]
      : []
  }
  const upper = name.toUpperCase()
  const own = upper.startsWith(`${ownPrefix}_`)
  if (isServiceLink(name)) return []
  const meant = known.has(upper) ? upper : nearestTo(upper, own)
  if (own) return [`${name}: not a setting${meant === null ? "" : `. Did you mean ${meant}?`}`]
  // Beside the setting itself, a name like it is no typo of it.
  return meant === null || set.has(meant) ? [] : [`${name}: not a setting. Did you mean ${meant}?`]
}

/** Returns the setting that a name resembles most; null without one. `freely` also takes a longer or shorter name. */
const nearestTo = (name: string, freely: boolean): string | null => {
  const ranked = [...known]
    .filter((env) => env.split("_")[0] === name.split("_")[0])
    .map((env) => ({ env, edits: editsBetween(name, env) }))
    .sort((a, b) => a.edits - b.edits)
  const [best] = ranked
  if (best !== undefined && best.edits <= editsMax) return best.env
  return freely ? (ranked.find(({ env }) => name.startsWith(env) || env.startsWith(name))?.env ?? null) : null
}

/** Returns how many letters must be added, removed, replaced or swapped with their neighbour to turn `a` into `b`. */
export const editsBetween = (a: string, b: string): number => {
  const rows: Array<Array<number>> = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Number.POSITIVE_INFINITY
  for (let row = 1; row <= a.length; row += 1) {
    rows[row] = [row]
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1]
      const isSwapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      rows[row]?.push(
        Math.min(
          at(row - 1, column) + 1,
          at(row, column - 1) + 1,
          at(row - 1, column - 1) + (isSame ? 0 : 1),
          isSwapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY
        )
      )
    }
  }
  return at(a.length, b.length)
}
