/** The limit of V8's heap beyond what the process uses. */
import { setFlagsFromString } from "node:v8"

/**
 * Makes V8 collect the old generation when it has grown by a third. On a machine with much memory, V8 waits
 * until it has doubled or more. A sweep keeps little alive, but its garbage would reach hundreds of megabytes
 * first (verify/bench/README.md has the figures). V8 reads this flag at each collection, so setting it late
 * is safe.
 *
 * Only the commands that sweep or audit call this. `serve` must not: each body is an external buffer, and
 * such buffers trigger full collections again and again. A pull of 256 MiB cost 7.2 to 9.3 ms of CPU per MiB
 * with the flag, and 1.5 to 4.6 without it, at the same peak RSS of 166 MB (2026-11-29, two cores, radosgw).
 * The library must not either, because its host owns the heap.
 */
export const keepHeapSmall = (): void => setFlagsFromString("--heap-growing-percent=33")
