import { memory } from "../../fixtures/oci/UploadStage.ts"
import { uploadsContract } from "./Uploads.contract.ts"

uploadsContract("memory", memory)
