import type { Codec } from '../wire';

/**
 * An ordinary stream of each, best first: H.264 and HEVC are decoded by hardware nearly
 * everywhere; of the others AV1 makes more of the same bits.
 */
const PROBES: [Codec, string][] = [
  ['h264', 'avc1.42e01f'],
  ['hevc', 'hev1.1.6.L93.B0'],
  ['av1', 'av01.0.04M.08'],
  ['vp9', 'vp09.00.10.08'],
];

type Ask = (config: VideoDecoderConfig) => Promise<VideoDecoderSupport>;

/** What this browser decodes, best first; nothing where it has no WebCodecs. */
export async function decodableCodecs(ask: Ask | undefined): Promise<Codec[]> {
  if (!ask) return [];
  const answers = await Promise.all(
    PROBES.map(async ([name, codec]) => {
      const answer = await ask({ codec, optimizeForLatency: true }).catch(() => undefined);
      return answer?.supported === true ? [name] : [];
    }),
  );
  return answers.flat();
}
