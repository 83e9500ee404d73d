/** What the kinds of machines that join are called, and how they join. */
import type { MachineRole } from '../api/types';

interface Kind {
  /** What it is called in a sentence. */
  noun: string;
  add: string;
  /** What was joined with a token stays. */
  plural: string;
  needs: string;
  joinCommand: (server: string, token: string) => string;
  /** The command with which an already registered machine connects. */
  runCommand: (server: string, credential: string) => string;
}

export const MACHINES: Record<MachineRole, Kind> = {
  runner: {
    noun: 'runner',
    plural: 'Runners',
    add: 'Add a runner',
    needs:
      'Models need an engine there: llama.cpp, vLLM or Ollama. The runner’s page says which it found.',
    joinCommand: (server, token) => `helix-runner --server ${server} --join-token ${token}`,
    runCommand: (server, credential) =>
      `HELIX_RUNNER_CREDENTIAL=${credential} helix-runner --server ${server}`,
  },
  sandbox_host: {
    noun: 'host',
    plural: 'Hosts',
    add: 'Add a host',
    needs:
      'Isolation needs Linux and root there. The host’s page says what it can do, and why it cannot do the rest.',
    joinCommand: (server, token) => `helix-sandbox --server ${server} --join-token ${token}`,
    runCommand: (server, credential) =>
      `HELIX_SANDBOX_CREDENTIAL=${credential} helix-sandbox --server ${server}`,
  },
};
