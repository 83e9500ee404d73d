import classes from './sparkline.module.css';

const WIDTH = 240;
const HEIGHT = 48;
/** Above and below the line, so that its ends are not cut off. */
const EDGE = 2;

/** The points of a line through the newest values, oldest first, as SVG writes them. */
export function linePoints(values: number[], slots: number, most: number): string {
  const step = WIDTH / Math.max(1, slots - 1);
  const from = WIDTH - (values.length - 1) * step;
  return values
    .map((value, index) => {
      const share = most > 0 ? Math.min(1, Math.max(0, value / most)) : 0;
      const y = HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE);
      return `${(from + index * step).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(' ');
}

/** How something went of late, at a glance: what it is now stands beside it as text. */
export function Sparkline(props: { values: number[]; slots: number; most: number }) {
  const { values, slots, most } = props;
  if (values.length < 2) return <div className={classes.chart} />;
  const line = linePoints(values, slots, most);
  const from = line.slice(0, line.indexOf(','));
  return (
    <svg
      className={classes.chart}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden
    >
      <polygon className={classes.area} points={`${from},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />
      <polyline className={classes.line} points={line} />
    </svg>
  );
}
