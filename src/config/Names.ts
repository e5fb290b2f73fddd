/**
 * Variables that look like settings and are none. A typo leaves its setting at the default, which may shorten a wait that
 * stands between a mistake and a loss.
 */
import { ConfigProvider, Effect } from "effect"
import { byLikeness, editsMax } from "../domain/closest.ts"
import { fileVariableOf } from "./SecretFiles.ts"
import { settings } from "./settings.ts"

const all = Object.values(settings)
const secretNames = all.filter(({ secret }) => secret).map(({ env }) => env)
/** Empty, they would leave a door open: the secrets, and the variables that name their files. */
const secrets: ReadonlySet<string> = new Set([...secretNames, ...secretNames.map(fileVariableOf)])
const known: ReadonlySet<string> = new Set([...all.map(({ env }) => env), ...secrets])

/** The first words of the settings' names. Other programs use all but `GC` as well. */
const prefixes: ReadonlyArray<string> = [...new Set([...known].map((env) => env.split("_")[0] ?? env))]

/** The prefix that is this program's own: every other name that begins with it is refused. */
const ownPrefix = "GC"

/** Kubernetes sets these variables in every pod beside a service called `gc`. */
const isServiceLink = (name: string): boolean =>
  /^GC_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/.test(name)

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
  // As for a secret. Without the refusal, a registry whose password file is named so would be open to every client.
  const withoutFile = name.replace(/_FILE$/, "")
  if (withoutFile !== name && known.has(withoutFile)) return withoutFile
  const ranked = byLikeness(
    name,
    [...known].filter((env) => env.split("_")[0] === name.split("_")[0])
  )
  const [best] = ranked
  if (best !== undefined && best.edits <= editsMax) return best.name
  if (!freely) return null
  return ranked.find((env) => name.startsWith(env.name) || env.name.startsWith(name))?.name ?? null
}
