import * as Databases from "../fixtures/Databases.ts"
import { databaseContract } from "./Database.contract.ts"

for (const server of [Databases.embedded, Databases.loopsOnly(Databases.embedded)]) {
  databaseContract(server.name, Databases.postgres(server))
}
