import * as Databases from "../fixtures/Databases.ts"
import { databaseIncidents } from "./databases.ts"

databaseIncidents(Databases.embedded)
