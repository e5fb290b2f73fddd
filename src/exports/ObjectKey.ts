/** The module `ObjectKey` of `artifact-gc`. */

export { KeyNonce, ObjectKey } from "../domain/ObjectKey.ts"
