import * as Databases from "../fixtures/Databases.ts"
import { migrationContract } from "./migrations.ts"

migrationContract(Databases.embedded)
