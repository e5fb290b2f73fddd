/** Runs ranges of seeds for verify/simulate/run.ts, one after the other. */
import { parentPort } from "node:worker_threads"
import * as Batch from "./Batch.ts"

parentPort?.on("message", (range: Batch.Range) => parentPort?.postMessage(Batch.run(range)))
