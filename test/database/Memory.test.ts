import * as Databases from "../support/Databases.ts"
import { databaseContract } from "./contract.ts"

databaseContract("memory", Databases.memory)
