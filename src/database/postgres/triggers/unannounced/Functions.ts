/**
 * The triggers against unannounced writers, as text. docs/design/unannounced-writers.md says what each line
 * prevents, and test/database/unannounced removes the lines one at a time.
 *
 * The functions run as their owner, because an unannounced writer's role has no rights to the collector's
 * tables. They have a search path of their own, because the calling role must not decide what `=` means.
 */
import { createHash } from "node:crypto"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import { qualified, quote } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"
import type { References, TriggerKey, WantedTrigger } from "../TriggerSet.ts"
import { digestLock, keyLock } from "./AdvisoryLocks.ts"

/** Begins the names of these functions, and of no other function in the collector's schema. */
export const functionPrefix = "guard_"

/** The channel by which the trigger tells collectors of suspects. The payload is the collector's schema. */
export const channel = "artifact_gc_suspect"

/** Returns every trigger against unannounced writers: one on blobs, and one for each foreign key to them. */
export const unannouncedTriggers = (
  names: CatalogNames,
  { digest, keys }: References
): ReadonlyArray<WantedTrigger> => [
  {
    schema: names.schema,
    table: names.blobsTable,
    ...called(names, `${functionPrefix}blobs`),
    body: blobsBody(names, digest),
    event: "BEFORE INSERT",
    level: "FOR EACH ROW"
  },
  ...keys.map((key) => ({
    schema: key.schema,
    table: key.table,
    ...called(names, referenceFunction(names, key)),
    body: referenceBody(names, key),
    event: `BEFORE INSERT OR UPDATE OF ${quote(key.column)}`,
    level: "FOR EACH ROW",
    key
  }))
]

/**
 * Triggers fire in the order of their names, and these must see what the others made of the row: hence `zz_`.
 * PostgreSQL cuts names off at 63 bytes, so what tells two apart precedes the schema.
 */
const called = (names: CatalogNames, name: string) => ({
  function: name,
  name: `zz_${name}_${names.collectorSchema}`,
  usesSearchPath: true
})

/** Returns a name that changes when the trigger no longer fits the foreign key. */
const referenceFunction = (names: CatalogNames, key: TriggerKey): string => {
  const identity = [key.column, key.referenced_column, isSelf(names, key)]
  return `${functionPrefix}references_${createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 12)}`
}

/** The table of blobs refers to itself. */
const isSelf = (names: CatalogNames, { schema, table }: TriggerKey): boolean =>
  schema === names.schema && table === names.blobsTable

/**
 * Runs before a row of blobs is inserted, also where ON CONFLICT DO NOTHING then inserts none: its changes to
 * other tables stay.
 */
const blobsBody = (names: CatalogNames, digest: DigestType): string => {
  const own = (table: string) => qualified(names.collectorSchema, table)
  const [newDigest, newKey] = [`NEW.${quote(names.digestColumn)}`, `NEW.${quote(names.keyColumn)}::text`]
  return `
BEGIN
  -- An announced key is a native writer's, and fresh.
  IF EXISTS (SELECT FROM ${own("intents")} i WHERE i.object_key = ${newKey}) THEN
    RETURN NEW;
  END IF;
  -- A tombstone is written under these locks, taken exclusively: none is between this look and the insert.
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(${digestLock(digest, newDigest)});
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(${keyLock(newKey)});
  -- A writer finds the blob of use. Locked rows are skipped: a purge in flight notices this lock.
  DELETE FROM ${own("orphans")} WHERE digest IN (
    SELECT o.digest FROM ${own("orphans")} o WHERE o.digest = ${newDigest} FOR UPDATE SKIP LOCKED);
  -- A snapshot older than the locks may miss a tombstone; the unique index does not, and refuses with 40001.
  IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    INSERT INTO ${own("tombstones")} (digest, since) VALUES (${newDigest}, pg_catalog.clock_timestamp())
      ON CONFLICT DO NOTHING;
    IF FOUND THEN
      DELETE FROM ${own("tombstones")} t WHERE t.digest = ${newDigest};
    END IF;
    INSERT INTO ${own("buried_keys")} (object_key, since) VALUES (${newKey}, pg_catalog.clock_timestamp())
      ON CONFLICT DO NOTHING;
    IF FOUND THEN
      DELETE FROM ${own("buried_keys")} t WHERE t.object_key = ${newKey};
    END IF;
  END IF;
  -- Also if the row exists now: it may be purged before the insert. And also if it is suspected already: that
  -- suspicion may be deleted before the commit.
  IF EXISTS (SELECT FROM ${own("tombstones")} t WHERE t.digest = ${newDigest})
    OR EXISTS (SELECT FROM ${own("buried_keys")} t WHERE t.object_key = ${newKey})
    -- A tombstone may end while the row that it made suspect is not verified yet.
    OR EXISTS (SELECT FROM ${own("suspects")} s WHERE s.digest = ${newDigest} AND s.object_key = ${newKey}) THEN
    INSERT INTO ${own("suspects")} (digest, object_key, since)
      VALUES (${newDigest}, ${newKey}, pg_catalog.clock_timestamp());
    -- At the commit, a running collector verifies it at once. A transaction that is prepared must not notify.
    IF pg_catalog.current_setting('max_prepared_transactions') = '0' THEN
      PERFORM pg_catalog.pg_notify('${channel}', '${names.collectorSchema.replaceAll("'", "''")}');
    END IF;
  END IF;
  RETURN NEW;
END`
}

/** Runs before a row that refers to a blob is inserted, or changed to refer to another blob. */
const referenceBody = (names: CatalogNames, key: TriggerKey): string => {
  const blobs = qualified(names.schema, names.blobsTable)
  const suspects = qualified(names.collectorSchema, "suspects")
  const column = `NEW.${quote(key.column)}`
  const self = isSelf(names, key)
    ? `
  IF ${column} = NEW.${quote(key.referenced_column)} THEN
    RETURN NEW;
  END IF;`
    : ""
  return `
DECLARE
  blob record;
BEGIN
  IF ${column} IS NULL THEN
    RETURN NEW;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF ${column} IS NOT DISTINCT FROM OLD.${quote(key.column)} THEN
      RETURN NEW;
    END IF;
  END IF;${self}
  -- The lock first, until the end of the transaction; the suspicions in the next statement, whose snapshot is newer.
  SELECT b.${quote(names.digestColumn)} AS digest, b.${quote(names.keyColumn)}::text AS object_key INTO blob
    FROM ${blobs} b WHERE b.${quote(key.referenced_column)} = ${column} FOR KEY SHARE;
  IF NOT FOUND THEN
    -- Not left to the foreign key: before it looks, at the end of the statement, a suspect may be committed.
    RAISE EXCEPTION USING ERRCODE = '40001',
      MESSAGE = pg_catalog.format('there is no blob %s to refer to', ${column}),
      HINT = 'It was never stored, or it was collected. Upload it again, insert its row, then refer to it.';
  END IF;
  IF EXISTS (SELECT FROM ${suspects} s WHERE s.digest = blob.digest AND s.object_key = blob.object_key) THEN
    RAISE EXCEPTION USING ERRCODE = '40001',
      MESSAGE = pg_catalog.format('blob %s cannot be referred to until its object has been verified', ${column}),
      DETAIL = 'Its content was collected before, so that this upload may have met a late delete.',
      HINT = 'A running artifact-gc verifies it at once, otherwise the next sweep does. Roll back and try again in a moment, from the upload on if its row is gone.';
  END IF;
  RETURN NEW;
END`
}
