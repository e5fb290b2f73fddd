/** The module `MemoryDatabase` of `artifact-gc`: a catalogue in memory, its rows, and transactions of a test. */

export type {
  BlobRow,
  ChunkRow,
  HostRow,
  HostTableRow,
  IntentRow,
  JournalRow,
  MemoryOptions,
  SightingRow,
  State
} from "../database/Memory.ts"
export {
  emptyState,
  HostTables,
  HostTransaction,
  layer,
  layerOf,
  RowRefused,
  withTransaction
} from "../database/Memory.ts"
