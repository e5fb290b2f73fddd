/**
 * The reference sources of earlier sweeps. A sweep that lacks one of them would delete what it holds: a second app over the
 * same catalogue, an older version, or the command line, which has no sources. It refuses until it has the source again, or
 * until an operator confirms.
 */
import { Effect } from "effect"
import { CollectorDatabase, isOpen, type ReferenceCheck } from "../../database/Database.ts"
import { SourcesMissing } from "../../domain/Refusals.ts"
import { type Breaker, nothing } from "../Breaker.ts"
import type { GuardContext } from "./Guard.ts"

/** Opens when a sweep lacks reference sources that earlier sweeps had. */
export const sourcesBreaker: Breaker = {
  name: "sources",
  describe: ({ blobs }) => `a sweep lacks ${blobs} reference sources that earlier sweeps asked`,
  look: "If a program was deployed without them by mistake, deploy it again. To see which: artifact-gc sweep --dry-run"
}

/** Remembers the sources of this sweep. Fails with `SourcesMissing` for others that earlier sweeps had. */
export const requireSources = Effect.fnUntraced(function* (
  { dryRun, now, sources }: GuardContext,
  { sources: remembered }: Pick<ReferenceCheck, "sources">
) {
  const { breakers, references } = yield* CollectorDatabase
  const { name } = sourcesBreaker
  const ours = new Set(sources.map((source) => source.name))
  const known = new Set(remembered.flatMap((source) => (source.missingAt === null ? [source.name] : [])))
  const fresh = [...ours].filter((one) => !known.has(one))
  if (!dryRun && fresh.length > 0) yield* references.rememberSources(fresh)
  const missing = remembered.filter((source) => !ours.has(source.name))
  if (missing.length === 0) {
    // A source is back, or an operator has confirmed.
    if (!dryRun && remembered.some(({ missingAt }) => missingAt !== null))
      yield* breakers.confirm(now, [name])
    return
  }
  const state = yield* breakers.read(name)
  const { confirmedAt } = state
  const isConfirmed = ({ missingAt }: { readonly missingAt: number | null }) =>
    missingAt !== null && confirmedAt !== null && confirmedAt >= missingAt
  const confirmed = missing.filter(isConfirmed)
  const others = missing.filter((source) => !isConfirmed(source))
  if (!dryRun && confirmed.length > 0) yield* references.forgetSources(confirmed.map((source) => source.name))
  if (others.length === 0) return
  const names = others.map((source) => source.name)
  if (!dryRun && (!isOpen(state) || others.some(({ missingAt }) => missingAt === null))) {
    // After the confirmation, also where this host's clock is behind.
    const at = Math.max(now, (confirmedAt ?? 0) + 1)
    yield* references.missSources(at, names)
    yield* breakers.trip(name, at, { ...nothing, blobs: others.length })
  }
  return yield* new SourcesMissing({ missing: names })
})
