import { Layer } from "effect"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { allFaults, faultTable } from "./faults.ts"

faultTable("memory", Layer.merge(Databases.memory, MemoryStorage.layer), allFaults)
