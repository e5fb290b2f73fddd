/** A worker thread of verify/simulate/run.ts: plays ranges of seeds, one after the other. */
import { parentPort } from "node:worker_threads"
import * as Batch from "./Batch.ts"

parentPort?.on("message", (range: Batch.Range) => parentPort?.postMessage(Batch.run(range)))
