/** The thread that attacks. Its parent names the attack, and ends it with any message. */
import { parentPort, workerData } from "node:worker_threads"
import { attacks, Field, type Victim } from "./Attacks.ts"

const { name, victim } = workerData as { readonly name: string; readonly victim: Victim }
const ending = new AbortController()
const field = new Field(victim, ending.signal, () => parentPort?.postMessage("stands"))
parentPort?.once("message", () => ending.abort())
const attack = attacks[name]
if (attack === undefined) throw new Error(`No attack is named ${name}`)
await attack(field)
field.end()
parentPort?.postMessage(field.answers)
parentPort?.close()
