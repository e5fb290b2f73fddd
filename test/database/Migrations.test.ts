import * as Databases from "../support/Databases.ts"
import { migrationContract } from "./migrations.ts"

migrationContract(Databases.embedded)
