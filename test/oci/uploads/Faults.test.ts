import { memory } from "../../fixtures/oci/UploadStage.ts"
import { allFaults, faultTable } from "./faults.ts"

faultTable("memory", memory, { faults: allFaults })
