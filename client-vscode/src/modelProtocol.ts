/** `orchestrator/lm.chat`: what the server asks of the editor's language model, and what it is answered. */

import { NotificationType, RequestType } from "vscode-languageclient/node";

export interface ModelMessage {
  readonly role: "user" | "assistant";
  readonly content: string;
  /** What the model asked for, in a message of the assistant. */
  readonly toolCalls?: readonly { readonly id: string; readonly name: string; readonly input: object }[];
  /** What came of it, in the user's message after that. */
  readonly toolResults?: readonly { readonly callId: string; readonly content: string }[];
}

export interface ModelRequest {
  /** Names this request in `orchestrator/lm.delta`. */
  readonly token: string;
  readonly messages: readonly ModelMessage[];
  readonly tools?: readonly { readonly name: string; readonly description: string; readonly inputSchema?: object }[];
  readonly toolMode?: "auto" | "required";
}

export type ModelPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "toolCall"; readonly id: string; readonly name: string; readonly input: object };

export interface ModelAnswer {
  readonly content: readonly ModelPart[];
  /** The model's id. */
  readonly model: string;
}

/** The error's `data.code`; the server tries again what has none of them. */
export type ModelFailure = "NoPermissions" | "NotFound" | "Blocked" | "ContextOverflow";

/** A piece of an answer, as it arrives; empty where something arrived that is no text. */
export interface ModelDelta {
  readonly token: string;
  readonly text: string;
}

export const modelChat = new RequestType<ModelRequest, ModelAnswer, { code: ModelFailure }>("orchestrator/lm.chat");
export const modelDelta = new NotificationType<ModelDelta>("orchestrator/lm.delta");
/** Whether the editor has a model to ask, where that changed after `initialize`. */
export const modelOffer = new NotificationType<{ readonly offered: boolean }>("orchestrator/lm.offer");
