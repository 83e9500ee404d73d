/** What a sandbox may reach: as people edit it, what is wrong with it, and as it is sent. */
import type { Egress, EgressProtocol, EgressRule } from '../api/types';
import { count } from '../format';

export const MOST_RULES = 256;
const MOST_PORTS = 16;

export interface RuleForm {
  /** Tells rules apart while they are edited. */
  key: string;
  to: string;
  ports: string;
  protocol: EgressProtocol | 'any';
}

export interface EgressForm {
  mode: Egress['mode'];
  rules: RuleForm[];
}

export const EGRESS_NAMES: Record<Egress['mode'], { label: string; description: string }> = {
  open: { label: 'Open', description: 'Everything that the host can reach.' },
  allow_list: { label: 'Only what is listed', description: 'Nothing but what the rules name.' },
  none: { label: 'Nothing', description: 'No network beyond the sandbox itself.' },
};

let made = 0;

export function newRule(rule: Partial<Omit<RuleForm, 'key'>> = {}): RuleForm {
  made += 1;
  return { key: `rule-${made}`, to: '', ports: '', protocol: 'any', ...rule };
}

export function egressForm(egress: Egress): EgressForm {
  if (egress.mode !== 'allow_list') return { mode: egress.mode, rules: [] };
  const rules = egress.rules.map((rule) =>
    newRule({
      to: rule.to,
      ports: (rule.ports ?? []).join(', '),
      protocol: rule.protocol ?? 'any',
    }),
  );
  return { mode: 'allow_list', rules };
}

export function toEgress({ mode, rules }: EgressForm): Egress {
  if (mode !== 'allow_list') return { mode };
  return {
    mode,
    rules: rules.map(({ to, ports, protocol }): EgressRule => {
      const listed = splitPorts(ports);
      return {
        to: to.trim(),
        ...(listed.length > 0 && { ports: listed }),
        ...(protocol !== 'any' && { protocol }),
      };
    }),
  };
}

const splitPorts = (ports: string): string[] =>
  ports
    .split(/[\s,]+/)
    .map((port) => port.replace('–', '-'))
    .filter((port) => port !== '');

/** What is wrong with whom a rule names, if anything. */
export function checkTarget(target: string): string | null {
  const to = target.trim();
  if (to === '') return 'Enter a name, an address or a network';
  if (/[/:]/.test(to) || /^[\d.]+$/.test(to)) return checkNetwork(to);
  const name = to.startsWith('*.') ? to.slice(2) : to;
  if (name.includes('*')) return 'A star stands for whole names only: *.example.com';
  return isName(name) ? null : 'Not a name: letters, digits, hyphens and dots';
}

function checkNetwork(to: string): string | null {
  const [address = '', bits, more] = to.split('/');
  if (address.includes(':')) return 'Sandboxes speak IPv4 only';
  if (more !== undefined || !isAddress(address)) return 'Not an address: such as 10.1.2.3';
  if (bits === undefined) return null;
  const valid = /^\d{1,2}$/.test(bits) && Number(bits) <= 32;
  return valid ? null : 'A network ends with /0 to /32, such as 10.1.0.0/16';
}

const isAddress = (text: string): boolean => {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
};

const isName = (text: string): boolean => {
  const name = text.replace(/\.$/, '');
  return (
    name.length <= 253 &&
    name.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label))
  );
};

/** What is wrong with a rule's ports, if anything. */
export function checkPorts(ports: string): string | null {
  const listed = splitPorts(ports);
  if (listed.length > MOST_PORTS) return `At most ${MOST_PORTS}`;
  const wrong = listed.find((port) => !isPortRange(port));
  return wrong === undefined ? null : `“${wrong}” is no port: such as 443 or 8000-8999`;
}

function isPortRange(text: string): boolean {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (!match) return false;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first >= 1 && first <= last && last <= 65_535;
}

/** What is wrong with each rule, by its key. Nothing unless a list is asked for. */
export function checkRules({ mode, rules }: EgressForm): Record<string, RuleErrors> {
  if (mode !== 'allow_list') return {};
  const found = rules.map(({ key, to, ports }) => [
    key,
    { to: checkTarget(to), ports: checkPorts(ports) },
  ]) as [string, RuleErrors][];
  return Object.fromEntries(found.filter(([, errors]) => errors.to ?? errors.ports));
}

export interface RuleErrors {
  to: string | null;
  ports: string | null;
}

/** A policy in a few words. */
export function describeEgress(egress: Egress): string {
  switch (egress.mode) {
    case 'open':
      return 'Open network';
    case 'none':
      return 'No network';
    case 'allow_list':
      return egress.rules.length === 0
        ? 'No network: the list is empty'
        : `Reaches ${count(egress.rules.length, 'listed place')}`;
  }
}
