/** How V8 compiles WebAssembly. */
import { setFlagsFromString } from "node:v8"

/**
 * Makes V8 optimise a WebAssembly module as soon as it is loaded. By default V8 begins with code of its baseline compiler, and
 * optimises functions that have run often. It did not do so for the hash of pushes in chunks (`hash-wasm`) within 570 MiB: a MiB
 * cost 8.2 to 9.0 ms of CPU, and 4.4 to 5.6 with this flag (2026-11-30, Node 20.20, two busy cores). V8 reads the flag
 * when it compiles a module, so setting it late is safe.
 *
 * Only `serve` calls this. The library must not, because the process is its host's.
 */
export const optimiseWasm = (): void => setFlagsFromString("--no-wasm-dynamic-tiering")
