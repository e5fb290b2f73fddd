/** What the command `breaker` says of each breaker: where to look, and what a confirmation allows. */
import type { BreakerName } from "../database/Database.ts"

interface Words {
  /** What a confirmation is for: the verb before the command. */
  readonly allow: string
  /** What happens after a confirmation, in sentences. */
  readonly confirmed: string
}

const deletion = (what: string): Words => ({
  allow: "To delete them",
  confirmed: `The next sweep deletes the ${what}.`
})

const words: Readonly<Record<BreakerName, Words>> = {
  orphans: deletion("blobs that are condemned now and have waited long enough"),
  manifests: deletion("manifests that are untagged now and have waited long enough"),
  leftovers: {
    allow: "To delete them",
    confirmed: "The next search for leftovers journals them, and sweeps delete what is journaled."
  },
  uploads: deletion("stale objects below GC_UPLOAD_PREFIX"),
  age: {
    allow: "To delete them although the database may have forgotten their rows",
    confirmed:
      "Objects of the lost time that nothing owns count as leftovers from now on. The next search for leftovers journals them, and sweeps delete what is journaled."
  },
  unreferenced: {
    allow: "To delete blobs although no reference was ever seen",
    confirmed: "The next sweep purges condemned blobs after their quarantine."
  },
  references: {
    allow: "To sweep without these foreign keys",
    confirmed:
      "The next sweep expects the present foreign keys alone. Blobs that only the others kept are orphans."
  },
  sources: {
    allow: "To sweep without these reference sources",
    confirmed: "The next sweep asks the present sources alone. Blobs that only the others kept are orphans."
  }
}

const ofUnknown: Words = deletion("rows that it held back and that have waited long enough")

const wordsOf = (name: BreakerName): Words => words[name] ?? ofUnknown

/** Returns what to type, and what it is for. */
export const advice = (name: BreakerName): string =>
  `${wordsOf(name).allow}: artifact-gc breaker --confirm ${name}.`

/** Returns what happens after these breakers were confirmed. */
export const afterConfirming = (names: ReadonlyArray<BreakerName>): string =>
  [...new Set(names.map((name) => wordsOf(name).confirmed))].join(" ")

/** The breakers that a confirmation may name. */
export const breakerNames: ReadonlyArray<BreakerName> = Object.keys(words)
