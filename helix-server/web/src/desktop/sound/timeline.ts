/** How much sound is kept waiting, so that what comes late is not heard as a gap. */
const CUSHION_SECONDS = 0.06;
/** With more than this waiting, what is heard is too far behind the picture. */
const LATEST_SECONDS = 0.3;

/** When each piece of sound is played, in seconds of the clock of what plays it. */
export class Timeline {
  #next: number | undefined;

  /** `null` for a piece that is left out, so that the others catch up. */
  place(seconds: number, now: number): number | null {
    const next = this.#next;
    if (next !== undefined && next - now > LATEST_SECONDS) return null;
    const at = next === undefined || next < now ? now + CUSHION_SECONDS : next;
    this.#next = at + seconds;
    return at;
  }
}
