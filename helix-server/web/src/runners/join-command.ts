/** The command that makes a machine a runner of this server. */
export function joinCommand(server: string, token: string): string {
  return `helix-runner --server ${server} --join-token ${token}`;
}

/** The command with which an already registered runner connects. */
export function runCommand(server: string, credential: string): string {
  return `HELIX_RUNNER_CREDENTIAL=${credential} helix-runner --server ${server}`;
}
