/** Adds what the collector remembers of the references. Names of breakers are the phases' own. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/**
 * Adds what the collector remembers of the references. Names of breakers are the phases' own.
 *
 * Keys are remembered by name, because a restored dump has other oids. `relid` and `attnum` only tell a new
 * name from a key that is gone.
 */
export const createReferences = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(
    db,
    `ALTER TABLE ${own("breakers")} DROP CONSTRAINT breakers_name_check`,
    `CREATE TABLE ${own("reference_keys")} (
       table_schema text NOT NULL,
       table_name text NOT NULL,
       column_name text NOT NULL,
       referenced_column text NOT NULL,
       relid bigint NOT NULL,
       attnum int NOT NULL,
       missing_at timestamptz,
       dropped boolean NOT NULL DEFAULT false,
       PRIMARY KEY (table_schema, table_name, column_name))`,
    `CREATE INDEX reference_keys_dropped ON ${own("reference_keys")} (table_schema, table_name) WHERE dropped`,
    `CREATE TABLE ${own("reference_checks")} (
       name text PRIMARY KEY CHECK (name = 'references'),
       keys text NOT NULL DEFAULT '',
       held_at timestamptz,
       sniffed_at timestamptz,
       fingerprint text NOT NULL DEFAULT '',
       suspects jsonb NOT NULL DEFAULT '[]',
       unread jsonb NOT NULL DEFAULT '[]',
       empty_tables jsonb NOT NULL DEFAULT '{}')`,
    `INSERT INTO ${own("reference_checks")} (name) VALUES ('references')`
  )
}
