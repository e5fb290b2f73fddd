/** Adds what ends a tombstone, and whether the catalogue is older than the collector. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/**
 * Adds what ends a tombstone. Keys that are journaled already count as leased once, and tombstones that exist
 * already stay for ever: how often their keys were leased was not recorded.
 */
export const createUnannouncedWriterLimits = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  const ends = (table: string) => [
    `ALTER TABLE ${own(table)} ADD COLUMN lasting boolean NOT NULL DEFAULT true,
       ADD COLUMN settled_at timestamptz, ADD COLUMN holders text[]`,
    `ALTER TABLE ${own(table)} ALTER COLUMN lasting SET DEFAULT false`,
    `CREATE INDEX ${table}_ending ON ${own(table)} (settled_at) WHERE NOT lasting`
  ]
  return statements(
    db,
    ...ends("tombstones"),
    ...ends("buried_keys"),
    `ALTER TABLE ${own("journal")} ADD COLUMN leases integer NOT NULL DEFAULT 1`,
    `ALTER TABLE ${own("journal")} ALTER COLUMN leases SET DEFAULT 0`,
    `ALTER TABLE ${own("suspects")} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY`,
    `CREATE TABLE ${own("installation")} (
       id boolean PRIMARY KEY DEFAULT true CHECK (id),
       catalogue_existed boolean NOT NULL)`,
    `INSERT INTO ${own("installation")} (catalogue_existed) VALUES (true)`
  )
}
