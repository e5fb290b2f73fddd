/**
 * The state of the database server and of its tables, for a person who looks for what is wrong. No sweep reads it, so a
 * database in memory has none.
 */
import { Context } from "effect"
import type { Result } from "./Result.ts"

/** A setting of the server. */
export interface ServerSetting {
  /** The value with which a session of this role begins. */
  readonly value: string
  /** Where the value is from, in PostgreSQL's words: `default`, `configuration file`, `user`, `database`, `client`. */
  readonly source: string
}

/** The server, the role and the connection. */
export interface ServerHealth {
  /** The version as a text, e.g. `16.4`. */
  readonly version: string
  /** The version as a number, e.g. 160004. */
  readonly versionNumber: number
  /** The server is a standby. */
  readonly isStandby: boolean
  /** The role, quoted. */
  readonly role: string
  /** The role is a superuser. */
  readonly isSuperuser: boolean
  /** The database, quoted. */
  readonly database: string
  /** The client reached the server by TCP, and not by a socket of the same host. */
  readonly isRemote: boolean
  /** The TLS version of the connection; null without TLS. */
  readonly tls: string | null
  /** The connections that clients hold. */
  readonly connections: number
  /** The connections that this role may still share with all others: the server's limit without those reserved. */
  readonly connectionsMax: number
  /** The connections that this role may hold in this database; null without such a limit. */
  readonly roleConnectionsMax: number | null
  /** Settings by name. */
  readonly settings: Readonly<Record<string, ServerSetting>>
  /** The newest migration that is applied; null if the role cannot read it or none is. */
  readonly schemaVersion: number | null
  /** The newest migration of this program. */
  readonly schemaVersionWanted: number
}

/** How connections reach the server: by themselves, or shared by a pooler. */
export type Pooling = "direct" | "session" | "transaction"

/** A table that scans read. */
export interface TableHealth {
  /** The name, quoted where necessary: `schema.table`. */
  readonly table: string
  /** The table of blobs, a table that refers to it, or one of the collector's own. */
  readonly kind: "blobs" | "reference" | "own"
  /** Pages on disk, at the last vacuum or analyze. */
  readonly pages: number
  /** Those that an index-only scan need not read. */
  readonly visiblePages: number
  /** Rows by the planner's estimate; null if the table was never analyzed. */
  readonly rows: number | null
  /** Rows that are alive, by the statistics. */
  readonly liveRows: number
  /** Rows that wait for a vacuum. */
  readonly deadRows: number
  /** Rows changed since the last analyze. */
  readonly changedRows: number
  /** When it was last vacuumed, by hand or automatically; null if never since the statistics began. */
  readonly vacuumedAt: number | null
  /** Autovacuum is on for this table. */
  readonly isAutovacuumed: boolean
  /** Transactions since its oldest row was frozen. */
  readonly age: number
}

/** An index or a foreign key that does its work in part. */
export interface IndexHealth {
  /**
   * `invalid`: an index that a failed CREATE INDEX CONCURRENTLY left. `hash`: a column that refers to blobs and has only a hash
   * index, which a scan cannot use. `unvalidated`: a foreign key that was declared NOT VALID.
   */
  readonly kind: "invalid" | "hash" | "unvalidated"
  /** The table, quoted. */
  readonly table: string
  /** The index, or the constraint, quoted. */
  readonly name: string
  /** The column, quoted; empty for an invalid index. */
  readonly column: string
}

/** A collation whose library has changed since indexes were built with it. */
export interface CollationHealth {
  /** The collation, quoted; the database's default is `default`. */
  readonly collation: string
  /** The version with which indexes were built. */
  readonly recorded: string
  /** The version of the library now. */
  readonly actual: string
  /** Columns of blobs and of references to them that sort by it: `schema.table.column`. */
  readonly columns: ReadonlyArray<string>
}

/** Something that keeps vacuum from removing dead rows. */
export interface HorizonHealth {
  /** A session's transaction, a prepared one, or a replication slot. */
  readonly kind: "session" | "prepared" | "slot"
  /** The process, or the name. */
  readonly name: string
  /** When it began; null for a slot. */
  readonly since: number | null
  /** Transactions since then. */
  readonly age: number
}

/** A right that only some commands need. */
export interface MissingRight {
  /** The commands that need it. */
  readonly neededBy: string
  /** What is missing, in words. */
  readonly what: string
  /** The statement that gives it. */
  readonly fix: string
}

/** Reads the state of the server and its tables. Reads only PostgreSQL's own catalogues, and changes nothing. */
export class DatabaseHealth extends Context.Service<
  DatabaseHealth,
  {
    /** Returns the server, the role and the connection. Asked first: it fails where the database cannot be reached. */
    readonly server: Result<ServerHealth>
    /** Returns who answers. Holds two connections at once for a moment. */
    readonly pooling: Result<Pooling>
    /** Returns the tables of blobs, of references and of the collector. */
    readonly tables: Result<ReadonlyArray<TableHealth>>
    /** Returns the indexes and foreign keys of blobs and references that do their work in part. */
    readonly indexes: Result<ReadonlyArray<IndexHealth>>
    /** Returns the collations of these tables whose library has changed. */
    readonly collations: Result<ReadonlyArray<CollationHealth>>
    /** Returns what keeps vacuum from removing dead rows, the oldest first. */
    readonly horizon: Result<ReadonlyArray<HorizonHealth>>
    /** Returns the rights that sweeps do not need, and that writers, the registry or migrations do. */
    readonly rights: Result<ReadonlyArray<MissingRight>>
  }
>()("artifact-gc/database/DatabaseHealth") {}
