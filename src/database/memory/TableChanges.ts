/** What a verb changes in the tables, so that it can be taken back: a rollback, or a row that another holds. */
import type { Changes, State } from "./State.ts"

type Table = Map<unknown, unknown>

/** A record of changes. */
export interface Recording {
  /** Returns the rows that differ from before, by table. */
  readonly changes: () => Map<string, Changes>
  /** Takes the changes back. */
  readonly restore: () => void
  /** Ends the record. */
  readonly end: () => void
}

const tablesOf = (state: State): ReadonlyArray<readonly [string, Table]> =>
  Object.entries(state).filter((entry): entry is [string, Table] => entry[1] instanceof Map)

/** Returns a table by its name. */
export const tableOf = (state: State, name: string): Table | undefined => {
  const table: unknown = state[name as keyof State]
  return table instanceof Map ? table : undefined
}

/** Marks a row that did not exist. */
const absent = Symbol("absent")

/** Records the changes of all tables from now on. A copy of the tables would cost more than the verb itself. */
export const record = (state: State): Recording => {
  const tables = tablesOf(state)
  const before = new Map<string, Map<unknown, unknown>>()
  const olds = (name: string) => {
    const found = before.get(name) ?? new Map<unknown, unknown>()
    before.set(name, found)
    return found
  }
  for (const [name, table] of tables) {
    const note = (key: unknown) => {
      const old = olds(name)
      if (!old.has(key)) old.set(key, table.has(key) ? table.get(key) : absent)
    }
    Object.assign(table, {
      set: (key: unknown, row: unknown) => {
        note(key)
        Map.prototype.set.call(table, key, row)
        return table
      },
      delete: (key: unknown) => {
        note(key)
        return Map.prototype.delete.call(table, key)
      },
      clear: () => {
        for (const key of table.keys()) note(key)
        Map.prototype.clear.call(table)
      }
    })
  }
  const own = new Map(tables)
  return {
    changes: () => {
      const changed = new Map<string, Changes>()
      for (const [name, rows] of before) {
        const table = own.get(name)
        const changes: Changes = new Map()
        for (const [key, old] of rows) {
          const exists = table?.has(key) === true
          const row = exists ? table?.get(key) : undefined
          if (exists ? row !== old : old !== absent) changes.set(key, row)
        }
        if (changes.size > 0) changed.set(name, changes)
      }
      return changed
    },
    restore: () => {
      for (const [name, rows] of before)
        for (const [key, old] of rows)
          if (old === absent) Map.prototype.delete.call(own.get(name), key)
          else Map.prototype.set.call(own.get(name), key, old)
    },
    end: () => {
      for (const [, table] of tables) {
        const overridden = table as Partial<Table>
        delete overridden.set
        delete overridden.delete
        delete overridden.clear
      }
    }
  }
}
