/** How much memory the process takes beyond what it uses. */
import { setFlagsFromString } from "node:v8"

/**
 * Collects the old generation when it has grown by a third, and not, as V8 does on a machine with much memory, when it
 * has doubled or more: a sweep keeps little alive, and whatever it lets go of would pile up to hundreds of megabytes
 * first (bench/README.md has the figures). V8 reads this flag at each collection, so setting it late is safe; it is for
 * the binary alone, because a library has no business with its host's heap.
 */
export const keepHeapSmall = (): void => setFlagsFromString("--heap-growing-percent=33")
