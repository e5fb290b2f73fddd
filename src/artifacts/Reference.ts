/** References of the artifacts' catalogue: the rows of its two tables. */
import { type HostRow, hostRowId, type State } from "../database/Memory.ts"
import type { Digest } from "../domain/Digest.ts"

/** A named artifact of a repository. */
export type Artifact = {
  readonly _tag: "Artifact"
  /** The repository. */
  readonly repository: string
  /** The name within the repository. */
  readonly name: string
  /** The blob that it refers to. */
  readonly digest: Digest
}

/** A file by its path. */
export type LocalFile = {
  readonly _tag: "LocalFile"
  /** The path, which is the primary key. */
  readonly path: string
  /** The blob that it refers to. */
  readonly digest: Digest
}

/** A row that keeps a blob. */
export type Reference = Artifact | LocalFile

/** A reference without its digest: it gets that of the blob it is stored with. */
export type NewReference = Omit<Artifact, "digest"> | Omit<LocalFile, "digest">

/** The tables of references. */
export const tables = ["artifacts", "local_files"] as const

/** Returns the table of a reference, and its primary key as text. */
export const keyOf = (reference: NewReference): { readonly table: string; readonly id: string } =>
  reference._tag === "Artifact"
    ? { table: "artifacts", id: `${reference.repository} ${reference.name}` }
    : { table: "local_files", id: reference.path }

/** Returns the key of a reference among the rows of a memory catalogue. */
export const referenceId = (reference: NewReference): string => {
  const { id, table } = keyOf(reference)
  return hostRowId(table, id)
}

/** Returns the references of a memory catalogue. */
export const referencesOf = ({ references }: Pick<State, "references">): ReadonlyArray<Reference> =>
  [...references.values()].flatMap((row) => referenceIn(row) ?? [])

const referenceIn = ({ digest, ...row }: HostRow): Reference | null =>
  digest === null || (row._tag !== "Artifact" && row._tag !== "LocalFile")
    ? null
    : ({ ...row, digest } as unknown as Reference)
