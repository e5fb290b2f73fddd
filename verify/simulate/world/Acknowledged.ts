/**
 * The references whose commits were acknowledged. Each must exist until a process asks for a change of it.
 *
 * While a request that writes or removes a reference has no answer, the reference may or may not exist. So it
 * is not in the list then.
 */
import { type Reference, referenceId } from "../../../src/artifacts/Artifacts.ts"

/** A reference that must exist. */
export interface Acknowledged {
  readonly reference: Reference
}

/** Tracks acknowledged references. */
export interface AcknowledgedReferences {
  /**
   * References that must exist, by id. An entry is the same object for as long as its reference must exist.
   */
  readonly all: ReadonlyMap<string, Acknowledged>
  /** Records that `process` asks for these references to be written or removed. */
  readonly asked: (process: object, references: ReadonlyArray<Reference>) => void
  /** Records that `process` was told that `written` exist, or that it gave up or died. */
  readonly answered: (process: object, written: ReadonlyArray<Reference>) => void
  /** Forgets all, because the database was taken back. */
  readonly forget: () => void
  /** Records a late write, which may have replaced these references. */
  readonly overwritten: (references: ReadonlyArray<Reference>) => void
}

/** Creates an empty list. */
export const make = (): AcknowledgedReferences => {
  const all = new Map<string, Acknowledged>()
  /** By process without an answer: how often each of its references had been touched when it asked. */
  const asking = new Map<object, ReadonlyMap<string, number>>()
  const touched = new Map<string, number>()
  const touch = (id: string) => touched.set(id, (touched.get(id) ?? 0) + 1)
  const remove = (id: string) => {
    all.delete(id)
    touch(id)
  }
  return {
    all,
    forget: () => {
      all.clear()
      asking.clear()
    },
    overwritten: (references) => {
      for (const reference of references) remove(referenceId(reference))
    },
    asked: (process, references) => {
      const ids = references.map(referenceId)
      for (const id of ids) remove(id)
      asking.set(process, new Map(ids.map((id) => [id, touched.get(id) ?? 0])))
    },
    answered: (process, written) => {
      const asked = asking.get(process)
      asking.delete(process)
      for (const reference of written) {
        const id = referenceId(reference)
        const isAlone = ![...asking.values()].some((ids) => ids.has(id))
        if (isAlone && asked?.get(id) === touched.get(id)) all.set(id, { reference })
      }
      for (const id of asked?.keys() ?? []) touch(id)
    }
  }
}
