/** Why an upload session refuses, in the client's terms. */
import { Schema } from "effect"

/** The session does not exist: never started, done, cancelled, or expired because it was idle for too long. */
export class UploadUnknown extends Schema.TaggedError<UploadUnknown>()("UploadUnknown", {
  repository: Schema.String,
  /** The id that the request named. */
  id: Schema.String
}) {
  override get message(): string {
    return `Repository ${this.repository} has no upload session ${this.id}: it is done, was cancelled, or expired because it was idle. Ask whether the repository has the blob, or start a new upload.`
  }
}

/** The chunk does not begin where the session ends. No byte of it was stored. */
export class OffsetMismatch extends Schema.TaggedError<OffsetMismatch>()("OffsetMismatch", {
  /** The session's id. */
  id: Schema.String,
  /** The offset at which the client's chunk begins, in bytes. */
  startByte: Schema.Int,
  /** The offset at which the next chunk must begin, in bytes. */
  receivedBytes: Schema.Int
}) {
  override get message(): string {
    return `The chunk begins at byte ${this.startByte}, but upload session ${this.id} continues at byte ${this.receivedBytes}. No byte of the chunk was stored; ask for the session's status and continue from there.`
  }
}

/** Another request is finishing the session. The session is unchanged by this request. */
export class UploadBusy extends Schema.TaggedError<UploadBusy>()("UploadBusy", {
  /** The session's id. */
  id: Schema.String
}) {
  override get message(): string {
    return `Another request is finishing upload session ${this.id}. This request changed nothing; repeat it in a few seconds.`
  }
}
