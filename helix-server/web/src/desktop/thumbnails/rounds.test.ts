import { beforeEach, describe, expect, it } from 'vitest';

import { Rounds, type Outcome } from './rounds';

let rounds: Rounds;

beforeEach(() => {
  rounds = new Rounds();
});

/** Asks and answers for a while; when each was asked for. */
function run(until: number, outcome: (id: string) => Outcome): Record<string, number[]> {
  const asked: Record<string, number[]> = {};
  for (let now = 0; now <= until; now += 100) {
    for (const id of rounds.start(now)) {
      (asked[id] ??= []).push(now);
      rounds.answered(id, outcome(id), now);
    }
  }
  return asked;
}

describe('pictures of many desktops', () => {
  it('come every two seconds while something happens, and ever more seldom while nothing does', () => {
    rounds.want('busy', 0);
    rounds.want('still', 0);
    const asked = run(60_000, (id) => (id === 'busy' ? 'changed' : 'same'));
    expect(asked['busy']).toHaveLength(31);
    expect(asked['still']?.length).toBeLessThan(10);
  });

  it('that fail are tried ever more seldom, and often again when they come', () => {
    rounds.want('one', 0);
    let works = false;
    run(120_000, () => (works ? 'changed' : 'failed'));
    works = true;
    expect(rounds.next()).toBeGreaterThan(120_000);
    const due = rounds.next() ?? 0;
    expect(rounds.start(due)).toEqual(['one']);
    rounds.answered('one', 'changed', due);
    expect(rounds.next()).toBe(due + 2_000);
  });

  it('are asked for a few at a time, the longest due first', () => {
    for (const id of ['a', 'b', 'c', 'd', 'e']) rounds.want(id, 0);
    expect(rounds.start(0)).toEqual(['a', 'b', 'c']);
    expect(rounds.start(0)).toEqual([]);
    rounds.answered('b', 'changed', 10);
    expect(rounds.start(10_000)).toEqual(['d']);
  });

  it('are not asked for while they are not seen', () => {
    rounds.want('one', 0);
    expect(rounds.start(0)).toEqual(['one']);
    rounds.unwant('one');
    rounds.answered('one', 'changed', 10);
    expect(rounds.next()).toBeUndefined();
    expect(rounds.start(10_000)).toEqual([]);
    rounds.want('one', 10_000);
    expect(rounds.start(10_000)).toEqual(['one']);
  });

  it('are not asked for more often by scrolling to and fro', () => {
    rounds.want('one', 0);
    rounds.start(0);
    rounds.answered('one', 'changed', 0);
    rounds.unwant('one');
    rounds.want('one', 500);
    expect(rounds.start(500)).toEqual([]);
    expect(rounds.next()).toBe(2_000);
  });
});
