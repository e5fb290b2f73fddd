/** Why an upload session refuses, in the client's terms. */
import { Schema } from "effect"

/** There is no such session: never begun, cancelled, or idle for so long that a collector ended it. */
export class UploadUnknown extends Schema.TaggedError<UploadUnknown>()("UploadUnknown", {
  repository: Schema.String,
  id: Schema.String
}) {
  override get message(): string {
    return `Repository ${this.repository} has no upload session ${this.id}: it was cancelled, or idle for too long. Begin a new one.`
  }
}

/** The chunk does not begin where the session ends. Nothing of it was stored. */
export class OffsetMismatch extends Schema.TaggedError<OffsetMismatch>()("OffsetMismatch", {
  id: Schema.String,
  startByte: Schema.Int,
  /** Where the next chunk must begin. */
  receivedBytes: Schema.Int
}) {
  override get message(): string {
    return `The chunk begins at byte ${this.startByte}, and upload session ${this.id} goes on at ${this.receivedBytes}. Nothing of it was stored; ask for the session's status and go on from there.`
  }
}

/** Another request is finishing the session. */
export class UploadBusy extends Schema.TaggedError<UploadBusy>()("UploadBusy", { id: Schema.String }) {
  override get message(): string {
    return `Another request is finishing upload session ${this.id}. Repeat this one in a few seconds.`
  }
}
