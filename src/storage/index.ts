/** The module `Storage` of `artifact-gc`: the contract of a store, and the store of a host's own. */

export * from "./OwnStore.ts"
export * from "./Storage.ts"
