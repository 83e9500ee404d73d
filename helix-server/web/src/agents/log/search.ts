import type { AgentLog, Moment } from './view';
import { momentText } from './words';

export interface Found {
  moment: Moment;
  text: string;
}

/** The lines of the timeline that have every word of `search`, whatever its case; all for none. */
export function searchTimeline(log: AgentLog, search: string): Found[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found: Found[] = [];
  for (const moment of log.timeline) {
    const text = momentText(log, moment);
    if (words.length > 0) {
      const lower = text.toLowerCase();
      if (!words.every((word) => lower.includes(word))) continue;
    }
    found.push({ moment, text });
  }
  return found;
}
