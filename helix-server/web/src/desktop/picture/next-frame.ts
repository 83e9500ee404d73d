/** How long a picture waits for a browser that shows nothing. */
const LATEST_MS = 250;

/**
 * Calls back when the browser is about to show something, or a moment later all the same: what
 * is scrolled away or covered may be shown never, and what waits for it holds up the stream.
 */
export function nextFrame(shown: () => void): void {
  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    shown();
  };
  const frame = requestAnimationFrame(run);
  const timer = setTimeout(run, LATEST_MS);
}
