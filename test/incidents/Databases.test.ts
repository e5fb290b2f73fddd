import * as Databases from "../support/Databases.ts"
import { databaseIncidents } from "./databases.ts"

databaseIncidents(Databases.embedded)
