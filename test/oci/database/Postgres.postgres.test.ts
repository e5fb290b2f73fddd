import * as Databases from "../../fixtures/Databases.ts"
import { registryDatabaseContract } from "./RegistryDatabase.contract.ts"

for (const server of [Databases.embedded, Databases.loopsOnly(Databases.embedded)]) {
  registryDatabaseContract(server.name, Databases.postgres(server))
}
