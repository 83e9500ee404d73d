import { Loader } from '@mantine/core';
import { IconCircle, IconCircleCheckFilled, IconListCheck } from '@tabler/icons-react';

import type { PlanEntry } from '../../api/types';
import { EmptyState } from '../../components/states';
import type { AgentLog } from '../log/view';
import classes from './session.module.css';

const STATUS: Record<PlanEntry['status'], string> = {
  pending: 'Not begun:',
  in_progress: 'Being worked on:',
  completed: 'Done:',
};

/** What the agent plans, and how far it is. */
export function PlanTab({ log: { plan } }: { log: AgentLog }) {
  if (plan.length === 0) {
    return (
      <EmptyState icon={IconListCheck} title="No plan">
        Agents that plan what they do show their steps here.
      </EmptyState>
    );
  }
  return (
    <ol className={classes.steps}>
      {plan.map(({ content, status }, index) => (
        <li key={index} className={classes.step} data-status={status}>
          <StepIcon status={status} />
          <span>{content}</span>
        </li>
      ))}
    </ol>
  );
}

function StepIcon({ status }: { status: PlanEntry['status'] }) {
  const label = STATUS[status];
  switch (status) {
    case 'pending':
      return <IconCircle size={16} color="var(--hx-dimmed)" role="img" aria-label={label} />;
    case 'in_progress':
      return <Loader size={16} mt={3} role="img" aria-label={label} />;
    case 'completed':
      return (
        <IconCircleCheckFilled size={16} color="var(--hx-bar-used)" role="img" aria-label={label} />
      );
  }
}
