/** The module `RegistryMemory` of `artifact-gc/oci`. */

export { emptyState, layer, type RegistryState } from "../oci/database/Memory.ts"
