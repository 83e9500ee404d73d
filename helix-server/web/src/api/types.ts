/** The wire types, by their own names. */
import type { components } from './schema.gen';

type Schemas = components['schemas'];

export type ApiError = Schemas['ApiError'];
export type ApiKey = Schemas['ApiKey'];
export type AuthConfig = Schemas['AuthConfig'];
export type CreatedApiKey = Schemas['CreatedApiKey'];
export type CreatedJoinToken = Schemas['CreatedJoinToken'];
export type CreatedRunner = Schemas['CreatedRunner'];
export type CreateModelRequest = Schemas['CreateModelRequest'];
export type EngineInfo = Schemas['EngineInfo'];
export type EngineKind = Schemas['EngineKind'];
export type InstanceState = Schemas['InstanceState'];
export type JoinToken = Schemas['JoinToken'];
export type Model = Schemas['Model'];
export type ModelSource = Schemas['ModelSource'];
export type Provider = Schemas['Provider'];
export type Queue = Schemas['Queue'];
export type QueuedRequest = Schemas['QueuedRequest'];
export type RegisterRequest = Schemas['RegisterRequest'];
export type Runner = Schemas['Runner'];
export type RunnerDevice = Schemas['RunnerDevice'];
export type RunnerInstance = Schemas['RunnerInstance'];
export type RunnerState = Schemas['RunnerState'];
export type RunnerTunnel = Schemas['RunnerTunnel'];
export type RunningRequest = Schemas['RunningRequest'];
export type Scope = Schemas['Scope'];
export type Session = Schemas['Session'];
export type SessionEvent = Schemas['SessionEvent'];
export type SessionMessages = Schemas['SessionMessages'];
export type Status = Schemas['Status'];
export type TunnelClose = Schemas['TunnelClose'];
export type TunnelLaneState = Schemas['TunnelLaneState'];
export type TunnelLaneStatus = Schemas['TunnelLaneStatus'];
export type TunnelState = Schemas['TunnelState'];
export type Turn = Schemas['Turn'];
export type TurnState = Schemas['TurnState'];
export type User = Schemas['User'];

/** What the browser says on the live-update socket. */
export type ClientMessage = Schemas['ClientMessage'];
/** What the control plane says on the live-update socket. */
export type ServerMessage = Schemas['ServerMessage'];
