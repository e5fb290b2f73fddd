import { allFaults, memory, registerFaultTable } from "../fixtures/FaultTable.ts"
import { writerFaults } from "./Faults.contract.ts"

await registerFaultTable(writerFaults, { name: "memory", backend: memory, faults: allFaults })
