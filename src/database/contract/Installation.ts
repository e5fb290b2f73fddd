/** What is known of how the collector came to this catalogue. */

/** The collector's installation beside a catalogue. */
export interface Installation {
  /**
   * The catalogue's table existed before `migrate` installed the collector beside it. True for an
   * installation that is older than this record. False where this program created the catalogue.
   */
  readonly catalogueExisted: boolean
  /** The triggers against unannounced writers are installed, as `inspect` found last. */
  readonly unannouncedWritersGuarded: boolean
}
