/** The module `CatalogNames` of `artifact-gc`. */

export { type CatalogNames, defaultNames } from "../domain/CatalogNames.ts"
