import { allFaults, memory, registerFaultTable } from "../../fixtures/FaultTable.ts"
import { replicaFaults } from "./Faults.contract.ts"

await registerFaultTable(replicaFaults(), { name: "memory", backend: memory, faults: allFaults })
