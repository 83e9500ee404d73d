import { createContext } from 'react';

import { EMPTY_LOG, type AgentLog } from '../log/view';

/** The terminals that the agent opened: only what shows one is painted when it writes. */
export const TerminalsContext = createContext<AgentLog['terminals']>(EMPTY_LOG.terminals);
