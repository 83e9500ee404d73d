/** The form that starts a session with an agent: its values, checks and request. */
import type { CreateSandboxRequest, CreateSessionRequest } from '../../api/types';

export interface StartForm {
  agent: string;
  /** What is asked first; empty for nothing. */
  prompt: string;
  where: 'new' | 'existing';
  /** The sandbox that runs, where that is chosen. */
  sandboxId: string;
  directory: string;
  repository: string;
  branch: string;
  /** Empty for the server's choice. */
  model: string;
}

const MOST_PATH = 1_024;
/** Ways to name a repository that git knows: a URL, or `user@host:path`. */
const REPOSITORY = /^(https?:\/\/|ssh:\/\/|git:\/\/)\S+$|^[\w.-]+@[\w.-]+:\S+$/;

type Errors = Partial<Record<keyof StartForm, string>>;

/** What is wrong with each field, if anything. */
export function checkStart(form: StartForm): Errors {
  const repository = form.repository.trim();
  const errors: Partial<Record<keyof StartForm, string | null>> = {
    agent: form.agent === '' ? 'Choose an agent' : null,
    sandboxId: form.where === 'existing' && form.sandboxId === '' ? 'Choose a sandbox' : null,
    directory: checkDirectory(form.directory.trim()),
    repository:
      repository !== '' && !REPOSITORY.test(repository)
        ? 'Enter an address such as https://git.example.com/me/app.git'
        : null,
    branch: form.branch.trim() !== '' && repository === '' ? 'A branch needs a repository' : null,
  };
  return Object.fromEntries(Object.entries(errors).filter(([, error]) => error != null));
}

function checkDirectory(directory: string): string | null {
  if (directory === '') return null;
  if (!directory.startsWith('/')) return 'Enter a whole path, such as /home/user/app';
  return new TextEncoder().encode(directory).length > MOST_PATH ? 'That is too long' : null;
}

/** The request for a form that has no errors. */
export function toSession(
  form: StartForm,
  sandbox: CreateSandboxRequest | null,
): CreateSessionRequest {
  const directory = form.directory.trim();
  const url = form.repository.trim();
  const branch = form.branch.trim();
  return {
    ...(form.model !== '' && { model: form.model }),
    agent: {
      agent: form.agent,
      ...(sandbox ? { sandbox } : { sandbox_id: form.sandboxId }),
      ...(directory !== '' && { directory }),
      ...(url !== '' && { repository: { url, ...(branch !== '' && { branch }) } }),
      ...(form.model !== '' && { model: form.model }),
    },
  };
}
