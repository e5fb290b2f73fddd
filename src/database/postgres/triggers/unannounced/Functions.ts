/**
 * The triggers that guard against foreign writers, as text. What each line is for, and what is lost without it, says
 * docs/design/foreign-writers.md; test/database/foreign takes the lines away one by one.
 *
 * The functions run as their owner, because a foreign role has no rights to the collector's tables, and with a search
 * path of their own, because whoever calls them must not decide what `=` means.
 */
import { createHash } from "node:crypto"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import { qualified, quote } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"

/** A foreign key to blobs, as far as its trigger must know it. */
export interface GuardedKey {
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly referenced_column: string
}

/** A trigger with its function. Equal functions serve several tables. */
export interface GuardTrigger {
  readonly schema: string
  readonly table: string
  /** Unquoted, in the collector's schema. */
  readonly function: string
  readonly body: string
  /** Unquoted. Triggers fire in the order of their names, and this one has to see what the others made of the row. */
  readonly name: string
  readonly event: string
}

/** What the names of the guard's functions, and of nothing else in the collector's schema, begin with. */
export const functionPrefix = "guard_"

/**
 * The advisory lock of a digest, as the arguments of PostgreSQL's functions. It must be the same for digests that
 * PostgreSQL holds to be equal, whatever the session's settings are: the text of a `bytea` hangs on `bytea_output`, so
 * only text is hashed as text, and under the column's own collation.
 *
 * Digests share {@link buckets} locks: a writer holds all it has taken until its transaction ends, and PostgreSQL has
 * room for 6400 in all by default. One that inserts a million rows must not run out of it. A purge that finds a lock
 * taken passes over the digest, so sharing costs it a thousandth of its page for each one that is being inserted.
 */
export const digestLock = ({ type, collate }: DigestType, expression: string): string =>
  /^(text|character)\b/.test(type)
    ? lockOf(0, `hashtextextended((${expression})::text${collate}, 0)`)
    : lockOf(0, `hash_record_extended(ROW((${expression})::${type}), 0)`)

/** The advisory lock of an object key, likewise. */
export const keyLock = (expression: string): string =>
  lockOf(1, `hashtextextended((${expression})::text COLLATE "C", 0)`)

const buckets = 1024

/** The first number says whose locks these are, and has no other meaning. */
const lockOf = (kind: 0 | 1, hash: string): string =>
  `${582_130_941 + kind}, ((${hash}) & ${buckets - 1})::int`

/** The function a foreign key's trigger has to call: by its name one sees whether it still fits. */
export const referenceFunction = (names: CatalogNames, key: GuardedKey): string => {
  const identity = [key.column, key.referenced_column, isSelf(names, key)]
  return `${functionPrefix}references_${createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 12)}`
}

export const blobsFunction = `${functionPrefix}blobs`

const isSelf = (names: CatalogNames, { schema, table }: GuardedKey): boolean =>
  schema === names.schema && table === names.blobsTable

/** Every trigger that the guard consists of. */
export const guardTriggers = (
  names: CatalogNames,
  digest: DigestType,
  keys: ReadonlyArray<GuardedKey>
): ReadonlyArray<GuardTrigger> => [
  {
    schema: names.schema,
    table: names.blobsTable,
    function: blobsFunction,
    body: blobsBody(names, digest),
    name: triggerName(names, blobsFunction),
    event: "INSERT"
  },
  ...keys.map((key) => ({
    schema: key.schema,
    table: key.table,
    function: referenceFunction(names, key),
    body: referenceBody(names, key),
    name: triggerName(names, referenceFunction(names, key)),
    event: `INSERT OR UPDATE OF ${quote(key.column)}`
  }))
]

/** PostgreSQL cuts names off at 63 bytes, so what tells two apart comes first. */
const triggerName = (names: CatalogNames, name: string): string => `zz_${name}_${names.collectorSchema}`

/**
 * Before a row of blobs is inserted, also where ON CONFLICT DO NOTHING will insert none: what it does to other tables
 * stays all the same.
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
  -- Whoever writes a tombstone takes these exclusively: there will be none between our look and our insert.
  PERFORM pg_advisory_xact_lock_shared(${digestLock(digest, newDigest)});
  PERFORM pg_advisory_xact_lock_shared(${keyLock(newKey)});
  -- Somebody finds the blob of use. Rows that are held are passed over: a purge in flight will notice our lock.
  DELETE FROM ${own("orphans")} WHERE digest IN (
    SELECT o.digest FROM ${own("orphans")} o WHERE o.digest = ${newDigest} FOR UPDATE SKIP LOCKED);
  -- A snapshot older than our locks may miss a tombstone; a unique index does not, and refuses (40001) what it hides.
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    INSERT INTO ${own("tombstones")} (digest, since) VALUES (${newDigest}, clock_timestamp())
      ON CONFLICT DO NOTHING;
    IF FOUND THEN
      DELETE FROM ${own("tombstones")} t WHERE t.digest = ${newDigest};
    END IF;
    INSERT INTO ${own("buried_keys")} (object_key, since) VALUES (${newKey}, clock_timestamp())
      ON CONFLICT DO NOTHING;
    IF FOUND THEN
      DELETE FROM ${own("buried_keys")} t WHERE t.object_key = ${newKey};
    END IF;
  END IF;
  -- Whether or not a row is there now: it may be gone when ours is inserted. And whether or not it is suspected
  -- already: that may have been forgotten by then.
  IF EXISTS (SELECT FROM ${own("tombstones")} t WHERE t.digest = ${newDigest})
    OR EXISTS (SELECT FROM ${own("buried_keys")} t WHERE t.object_key = ${newKey}) THEN
    INSERT INTO ${own("suspects")} (digest, object_key, since)
      VALUES (${newDigest}, ${newKey}, clock_timestamp());
  END IF;
  RETURN NEW;
END`
}

/** Before a row that refers to a blob is inserted, or made to refer to another. */
const referenceBody = (names: CatalogNames, key: GuardedKey): string => {
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
  -- The lock first, until the end of the transaction; then, in a later snapshot, what it stands for.
  SELECT b.${quote(names.digestColumn)} AS digest, b.${quote(names.keyColumn)}::text AS object_key INTO blob
    FROM ${blobs} b WHERE b.${quote(key.referenced_column)} = ${column} FOR KEY SHARE;
  IF NOT FOUND THEN
    -- Not left to the foreign key: until it looks, at the end of the statement, a suspect may have been committed.
    RAISE EXCEPTION USING ERRCODE = '40001',
      MESSAGE = format('there is no blob %s to refer to', ${column}),
      HINT = 'It was never stored, or it was collected. Upload it again, insert its row, then refer to it.';
  END IF;
  IF EXISTS (SELECT FROM ${suspects} s WHERE s.digest = blob.digest AND s.object_key = blob.object_key) THEN
    RAISE EXCEPTION USING ERRCODE = '40001',
      MESSAGE = format('blob %s cannot be referred to until its object has been verified', ${column}),
      DETAIL = 'Its content was collected before, so that this upload may have met a late delete.',
      HINT = 'The next sweep of artifact-gc verifies it; try again then, or upload it again if its row has gone.';
  END IF;
  RETURN NEW;
END`
}
