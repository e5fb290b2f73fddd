import { allFaults, faultTable } from "./faults.ts"
import { memory } from "./stage.ts"

faultTable("memory", memory, { faults: allFaults })
