import { allFaults, memory, registerFaultTable } from "../../fixtures/FaultTable.ts"
import { repositoryFaults } from "./Faults.contract.ts"

await registerFaultTable(repositoryFaults, { name: "memory", backend: memory, faults: allFaults })
