/**
 * The module `RegistryDatabase` of `artifact-gc/oci`: the registry's service of a database, for the types of layers. Its verbs
 * belong to `Uploads` and `Repositories`, and their types are not exported.
 */

export { RegistryDatabase } from "../oci/database/RegistryDatabase.ts"
