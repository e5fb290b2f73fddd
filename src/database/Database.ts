/**
 * The catalogue and the collector's own tables, as transitions: each verb is one transaction that moves
 * something along `staged → owned → orphan → condemned → purged → journaled → gone`, or it reads.
 *
 * There is a service for each consumer, over one SQL client: {@link CollectorDatabase} for sweeps and
 * audits, {@link BlobDatabase} for writers. The OCI registry has a third in `oci/database`, which nothing
 * here imports.
 *
 * No verb calls the store, so no transaction is ever open across a request to it. Instants come from the
 * caller (milliseconds since the epoch, from `Clock`); no statement asks the server for the time. Every
 * verb may fail with `DatabaseError`, and has then changed nothing, unless the answer of its commit was
 * lost.
 *
 * docs/design/protocol.md says why the transitions have the shape they have. test/database/contract holds
 * every backend to it.
 */
export type * from "./contract/Audit.ts"
export type * from "./contract/Binding.ts"
export * from "./contract/Blobs.ts"
export * from "./contract/Breakers.ts"
export type * from "./contract/Candidates.ts"
export * from "./contract/Collector.ts"
export type * from "./contract/Control.ts"
export * from "./contract/Health.ts"
export * from "./contract/History.ts"
export type * from "./contract/Installation.ts"
export * from "./contract/Instants.ts"
export type * from "./contract/Journal.ts"
export type * from "./contract/Leftovers.ts"
export * from "./contract/Orphans.ts"
export type * from "./contract/Peers.ts"
export type * from "./contract/References.ts"
export type { Result } from "./contract/Result.ts"
export type * from "./contract/Suspects.ts"
