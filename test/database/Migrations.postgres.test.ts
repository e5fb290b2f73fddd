import * as Databases from "../fixtures/Databases.ts"
import { migrationContract } from "./Migrations.contract.ts"

migrationContract(Databases.embedded)
