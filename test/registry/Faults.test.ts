import { Layer } from "effect"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import * as Databases from "../support/Databases.ts"
import { faultTable, lateFaults } from "./faults.ts"

faultTable("memory", Layer.merge(Databases.memory, MemoryStorage.layer), lateFaults)
