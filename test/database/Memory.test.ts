import * as Databases from "../fixtures/Databases.ts"
import { databaseContract } from "./Database.contract.ts"

databaseContract("memory", Databases.memory)
