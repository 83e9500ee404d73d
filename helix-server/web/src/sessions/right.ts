import { createContext, use } from 'react';

import type { Session } from '../api/types';

/** What whoever looks may do in a session; each has those before it. */
export type Right = 'read' | 'drive' | 'own';

export const rightIn = (session: Session): Right => session.shared?.right ?? 'own';

export const RightContext = createContext<Right>('own');

export const useRight = (): Right => use(RightContext);
export const useDrives = (): boolean => useRight() !== 'read';
