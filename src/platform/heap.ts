/** How much memory the process takes beyond what it uses. */
import { setFlagsFromString } from "node:v8"

/**
 * Collects the old generation when it has grown by a third, and not, as V8 does on a machine with much memory, when it
 * has doubled or more. A sweep keeps little alive, and its garbage would reach hundreds of megabytes first
 * (verify/bench/README.md has the figures). V8 reads this flag at each collection, so setting it late is safe.
 *
 * For the commands that only sweep or audit. Not for `serve`: each body that passes is an external buffer, and those set
 * off full collections again and again. A pull of 256 MiB cost 7.2 to 9.3 ms of CPU a MiB with the flag and 1.5 to 4.6
 * without it, at the same peak RSS of 166 MB (2026-11-29, two cores, radosgw). Not for a library either, whose host owns
 * the heap.
 */
export const keepHeapSmall = (): void => setFlagsFromString("--heap-growing-percent=33")
