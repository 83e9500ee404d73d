import { describe, expect, it } from 'vitest';

import type { RunnerTunnel, TunnelLaneStatus } from '../api/types';
import { totals, tunnelFacts } from './tunnel-facts';

const lane = (of: Partial<TunnelLaneStatus>): TunnelLaneStatus => ({
  lane: 'control',
  state: 'connected',
  received_bytes: 0,
  sent_bytes: 0,
  resumes: 0,
  replay_bytes: 0,
  in_flight: 0,
  ...of,
});

const tunnel = (...lanes: TunnelLaneStatus[]): RunnerTunnel => ({ state: 'connected', lanes });

describe('a tunnel', () => {
  it('adds up its lanes', () => {
    const control = lane({ received_bytes: 1, sent_bytes: 10, resumes: 2, in_flight: 1 });
    const bulk = lane({ lane: 'bulk', received_bytes: 4, sent_bytes: 40, resumes: 3 });
    expect(totals(tunnel(control, bulk))).toEqual({
      received: 5,
      sent: 50,
      resumes: 5,
      inFlight: 1,
    });
  });

  it('says in one line how far it is, what it carried and how often it resumed', () => {
    const control = lane({
      round_trip_us: 12_300,
      received_bytes: 3 * 1024 ** 2,
      sent_bytes: 512,
      resumes: 1,
    });
    expect(tunnelFacts(tunnel(control))).toEqual([
      '12 ms away',
      '3 MiB received',
      '512 B sent',
      'resumed 1 time',
    ]);
  });

  it('leaves out what is not known yet and what never happened', () => {
    expect(tunnelFacts(tunnel(lane({})))).toEqual(['0 B received', '0 B sent']);
  });

  it('has nothing to say when there is none', () => {
    expect(tunnelFacts({ state: 'disconnected', lanes: [] })).toEqual([]);
  });
});
