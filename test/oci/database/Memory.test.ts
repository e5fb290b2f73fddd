import { Layer } from "effect"
import { faulty, script } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { registryDatabaseContract } from "./RegistryDatabase.contract.ts"

registryDatabaseContract("memory", Databases.memory)
registryDatabaseContract(
  "memory, with a script that has no faults",
  faulty(script()).pipe(Layer.provideMerge(Databases.memory))
)
