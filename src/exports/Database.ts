/**
 * The module `Database` of `artifact-gc`: the two services of a database, for the types of layers, and what phases and
 * references of a host name. The verbs of these services belong to the collector and to `BlobStore`. They may change in any
 * version, and their types are not exported.
 */

export type {
  BreakerName,
  BreakerState,
  Exposure,
  HostStatements,
  JournalEntry,
  JournalReason,
  LostTime,
  Orders,
  Override,
  Pause,
  Published
} from "../database/Database.ts"
export { BlobDatabase, CollectorDatabase } from "../database/Database.ts"
