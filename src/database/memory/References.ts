/**
 * References, in memory. There are no columns here, so none can look like an undeclared reference: that check
 * reads PostgreSQL's catalogue.
 */
import { Effect } from "effect"
import type { ColumnName } from "../../domain/CatalogNames.ts"
import type { References, ReferenceTable } from "../Database.ts"
import type { State } from "./State.ts"

/** Returns the foreign keys to blobs: those of other parts of the program, and of the host's tables. */
export const referenceTables = (state: State): ReadonlyArray<ReferenceTable> => [
  ...state.referringTables.map(({ table, column, constraint }) => ({ table, column, constraint })),
  ...[...state.hostTables].map((table) => ({ table, column: "digest", constraint: `${table}_digest_fkey` }))
]

const idOf = ({ column, schema, table }: ColumnName): string => JSON.stringify([schema, table, column])

const nameOf = (id: string): ColumnName => {
  const [schema = "", table = "", column = ""] = JSON.parse(id) as ReadonlyArray<string>
  return { schema, table, column }
}

const presentIds = (state: State): ReadonlySet<string> =>
  new Set(
    referenceTables(state).map(({ column, table: full }) => {
      const [table = full, schema = "public"] = full.split(".").reverse()
      return idOf({ schema, table, column })
    })
  )

const holdsRow = (state: State): boolean =>
  state.referenced || state.references.size > 0 || state.referringTables.some(({ rows }) => rows().length > 0)

/** Returns the verbs of references over `state`. */
export const references = (state: State): References => ({
  check: (_now, record) =>
    Effect.sync(() => {
      const { keys } = state.remembered
      const present = presentIds(state)
      const missing = [...keys].filter(([id]) => !present.has(id))
      const isBack = [...keys].some(([id, missingAt]) => missingAt !== null && present.has(id))
      const firstHeld = !state.remembered.held && holdsRow(state)
      if (record) {
        for (const id of present) keys.set(id, null)
        if (firstHeld) state.remembered.held = true
      }
      return {
        isComplete: isBack && missing.length === 0,
        keys: present.size,
        missing: missing.map(([id, missingAt]) => ({ ...nameOf(id), missingAt, fix: null })),
        dropped: [],
        firstHeld,
        undeclared: [],
        hint: null,
        sources: [...state.remembered.sources]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, missingAt]) => ({ name, missingAt })),
        unread: []
      }
    }),
  miss: (now, columns) =>
    Effect.sync(() => {
      for (const column of columns) state.remembered.keys.set(idOf(column), now)
    }),
  forget: (columns) =>
    Effect.sync(() => {
      for (const column of columns) state.remembered.keys.delete(idOf(column))
    }),
  rememberSources: (names) =>
    Effect.sync(() => {
      for (const name of names) state.remembered.sources.set(name, null)
    }),
  missSources: (now, names) =>
    Effect.sync(() => {
      const { sources } = state.remembered
      for (const name of names) if (sources.has(name)) sources.set(name, now)
    }),
  forgetSources: (names) =>
    Effect.sync(() => {
      for (const name of names) state.remembered.sources.delete(name)
    }),
  everHeld: Effect.sync(() => state.remembered.held || holdsRow(state))
})
