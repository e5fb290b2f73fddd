/**
 * Which names below the upload prefix an upload session can have. Registries name sessions by a UUID: the folder of its
 * chunks, or its only object. Files of other programs rarely have such a name.
 */
import { Effect } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"

const uuid = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\/?$/i

/** Returns whether a session can have this name: a UUID, or the folder of one. */
export const isSessionName = (name: string): boolean => uuid.test(name)

/** Returns whether other programs may keep files in this store. Asks the database once, when it is first needed. */
export const catalogueExisted = Effect.flatMap(CollectorDatabase, (database) =>
  Effect.cached(Effect.map(database.installation, (installation) => installation.catalogueExisted))
)
