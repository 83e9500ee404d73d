import { formatRoundTrip } from '../../format';
import { useCell } from '../cell';
import type { Viewer } from '../viewer';
import type { Codec } from '../wire';
import classes from './desktop.module.css';

const CODEC_NAMES: Record<Codec, string> = {
  stills: 'Stills',
  h264: 'H.264',
  hevc: 'HEVC',
  vp9: 'VP9',
  av1: 'AV1',
};

const UNKNOWN = '–';

const millis = (ms: number | null | undefined) =>
  ms == null ? UNKNOWN : formatRoundTrip(ms * 1_000);
const megabits = (value: number) => `${value.toFixed(value < 9.95 ? 2 : 1)} Mbit/s`;

/** What a viewer and the desktop measure, over a corner of the picture. */
export function StatsPanel({ viewer }: { viewer: Viewer }) {
  const figures = useCell(viewer.figures);
  const stats = useCell(viewer.stats);
  const hello = useCell(viewer.hello);
  const size = useCell(viewer.size);
  const latency = figures?.latency;
  const rows: [string, string][] = [
    [
      'Capture to paint',
      latency ? `${millis(latency.median)}, p95 ${millis(latency.p95)}` : UNKNOWN,
    ],
    ['Pictures', figures ? `${figures.fps.toFixed(figures.fps < 9.95 ? 1 : 0)}/s` : UNKNOWN],
    ['Received', figures ? megabits(figures.megabits) : UNKNOWN],
    ['Target', stats ? megabits(stats.targetKbits / 1_000) : UNKNOWN],
    ['Round trip', millis(figures?.roundTrip)],
    ['Dropped', `${figures?.dropped ?? 0} here, ${stats?.dropped ?? 0} there`],
    ['In the decoder', String(figures?.queue ?? 0)],
    [
      'Capture, encode',
      stats
        ? `${formatRoundTrip(stats.captureMicros)}, ${formatRoundTrip(stats.encodeMicros)}`
        : UNKNOWN,
    ],
    ['Codec', hello ? CODEC_NAMES[hello.codec] : UNKNOWN],
    ['Encoder', hello?.encoder || UNKNOWN],
    ['Size', size ? `${size.width} × ${size.height}` : UNKNOWN],
  ];
  return (
    <dl className={classes.stats} aria-label="Measurements">
      {rows.map(([what, value]) => (
        <div key={what}>
          <dt>{what}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
