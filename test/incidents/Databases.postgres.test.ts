import * as Databases from "../fixtures/Databases.ts"
import { databaseIncidents } from "./Databases.contract.ts"

databaseIncidents(Databases.embedded)
