/** The routes of agents, until the OpenAPI document has them. */
import createClient from 'openapi-fetch';

import { boundedFetch } from '../api/client';
import type { components } from '../api/schema.gen';

type Schemas = components['schemas'];
type Path = Record<string, string | number>;

interface Route<P extends Path, Body, Answer> {
  parameters: { query?: never; header?: never; path: P; cookie?: never };
  requestBody: { content: { 'application/json': Body } };
  responses: { 200: { headers: object; content: { 'application/json': Answer } } };
}
interface Bare<P extends Path, Answer> {
  parameters: { query?: never; header?: never; path: P; cookie?: never };
  requestBody?: never;
  responses: { 200: { headers: object; content: { 'application/json': Answer } } };
}
interface S extends Path {
  id: string;
}
interface T extends S {
  turn: string;
}
interface N extends Path {
  name: string;
}
type None = undefined;

interface AgentPaths {
  '/api/v1/sessions/{id}/prompts': {
    post: Route<S, Schemas['PromptRequest'], Schemas['PromptAccepted']>;
  };
  '/api/v1/sessions/{id}/prompts/{turn}': {
    put: Route<T, Schemas['EditPromptRequest'], None>;
    delete: Bare<T, None>;
  };
  '/api/v1/sessions/{id}/prompts/{turn}/move': {
    post: Route<T, Schemas['MovePromptRequest'], None>;
  };
  '/api/v1/sessions/{id}/interrupt': { post: Bare<S, None> };
  '/api/v1/sessions/{id}/release': { post: Bare<S, None> };
  '/api/v1/sessions/{id}/keep-waiting': { post: Bare<S, None> };
  '/api/v1/sessions/{id}/permissions/{thread}/{request}': {
    post: Route<S & { thread: string; request: number }, Schemas['PermissionAnswer'], None>;
  };
  '/api/v1/sessions/{id}/mode': { put: Route<S, Schemas['SetModeRequest'], None> };
  '/api/v1/sessions/{id}/agent-model': { put: Route<S, Schemas['SetAgentModelRequest'], None> };
  '/api/v1/sessions/{id}/agent/stop': { post: Bare<S, None> };
  '/api/v1/sessions/{id}/agent/restart': { post: Bare<S, None> };
  '/api/v1/agents': {
    get: { responses: Bare<N, { items: Schemas['CatalogueAgent'][] }>['responses'] };
  };
  '/api/v1/agents/{name}': {
    get: Bare<N, Schemas['CatalogueAgentDetails']>;
    put: Route<N, Schemas['PutAgentRequest'], Schemas['CatalogueAgentDetails']>;
    delete: Bare<N, None>;
  };
}

export const http = createClient<AgentPaths>({
  baseUrl: window.location.origin,
  credentials: 'same-origin',
  fetch: boundedFetch,
});
