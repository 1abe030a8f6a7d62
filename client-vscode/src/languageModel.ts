/** The bridge to VS Code's language models: a request of the server becomes one of VS Code's, streamed back. */

import * as vscode from "vscode";
import type { ModelAnswer, ModelFailure, ModelMessage, ModelPart, ModelRequest } from "./modelProtocol";

/** The model would not or could not answer, and asking again helps nothing. */
export class ModelRefused extends Error {
  constructor(
    readonly code: ModelFailure,
    message: string,
  ) {
    super(message);
  }
}

/** Shown when VS Code asks whether this extension may use a model. */
const JUSTIFICATION = "The agents of OpenCode Orchestrator plan, do and review the tasks that you run.";

/**
 * The language models of this window.
 *
 * Consent is VS Code's: it asks at the first request of a model, and a refusal is an answer.
 */
export class LanguageModels implements vscode.Disposable {
  private known: readonly vscode.LanguageModelChat[] = [];
  private readonly offered = new vscode.EventEmitter<boolean>();
  private readonly watching: vscode.Disposable | undefined;
  /** Fires when the first model appears, and when the last one is gone. */
  readonly onOffer = this.offered.event;

  /**
   * @param api `vscode.lm`; undefined in editors that have none.
   * @param wanted the setting `orchestrator.languageModel`: `vendor/id`, or empty.
   */
  constructor(
    private readonly api: typeof vscode.lm | undefined,
    private readonly wanted: () => string,
  ) {
    this.watching = api?.onDidChangeChatModels(() => void this.look());
  }

  /** Whether there is a model to ask, as far as is known. */
  get available(): boolean {
    return this.known.length > 0;
  }

  /** Looks which models there are now. */
  async look(): Promise<readonly vscode.LanguageModelChat[]> {
    const before = this.available;
    try {
      this.known = (await this.api?.selectChatModels()) ?? [];
    } catch {
      this.known = []; // Models that cannot be listed cannot be used either.
    }
    if (this.available !== before) {
      this.offered.fire(this.available);
    }
    return this.known;
  }

  /**
   * Answers one request.
   *
   * @param delta is given each piece of text as it arrives.
   * @param token cancels the model's request as well.
   * @throws ModelRefused where the person, the model's vendor or the model's size forbid it.
   */
  async answer(request: ModelRequest, delta: (text: string) => void, token: vscode.CancellationToken): Promise<ModelAnswer> {
    const model = await this.choose();
    const messages = request.messages.map(toMessage);
    try {
      await checkSize(model, request, messages, token);
      const response = await model.sendRequest(messages, options(request), token);
      return { content: await collected(response.stream, delta), model: name(model) };
    } catch (error) {
      throw refusal(error) ?? error;
    }
  }

  dispose(): void {
    this.watching?.dispose();
    this.offered.dispose();
  }

  private async choose(): Promise<vscode.LanguageModelChat> {
    const models = await this.look();
    const wanted = this.wanted().trim();
    const chosen = wanted === "" ? models[0] : models.find((model) => name(model) === wanted);
    if (chosen === undefined) {
      throw new ModelRefused(
        "NotFound",
        wanted === "" ? "VS Code has no language model." : `VS Code has no language model “${wanted}”.`,
      );
    }
    return chosen;
  }
}

/** How a model is named in the settings: its vendor and its id, which is unique only there. */
export function name(model: Pick<vscode.LanguageModelChat, "vendor" | "id">): string {
  return `${model.vendor}/${model.id}`;
}

function toMessage({ role, content, toolCalls = [], toolResults = [] }: ModelMessage): vscode.LanguageModelChatMessage {
  if (role === "assistant") {
    const calls = toolCalls.map((call) => new vscode.LanguageModelToolCallPart(call.id, call.name, call.input));
    return vscode.LanguageModelChatMessage.Assistant([...text(content, calls), ...calls]);
  }
  const results = toolResults.map(
    (result) => new vscode.LanguageModelToolResultPart(result.callId, [new vscode.LanguageModelTextPart(result.content)]),
  );
  return vscode.LanguageModelChatMessage.User([...results, ...text(content, results)]);
}

/** A text, unless it is empty and not the only part: models refuse messages with empty texts. */
function text(content: string, others: readonly unknown[]): vscode.LanguageModelTextPart[] {
  return content === "" && others.length > 0 ? [] : [new vscode.LanguageModelTextPart(content)];
}

function options({ tools = [], toolMode }: ModelRequest): vscode.LanguageModelChatRequestOptions {
  if (tools.length === 0) {
    return { justification: JUSTIFICATION };
  }
  const { Auto, Required } = vscode.LanguageModelChatToolMode;
  return { justification: JUSTIFICATION, tools: [...tools], toolMode: toolMode === "required" ? Required : Auto };
}

/** The parts of an answer in their order, adjacent texts joined. */
async function collected(stream: AsyncIterable<unknown>, delta: (text: string) => void): Promise<ModelPart[]> {
  const parts: ModelPart[] = [];
  for await (const part of stream) {
    if (part instanceof vscode.LanguageModelTextPart) {
      delta(part.value);
      const last = parts.at(-1);
      if (last?.type === "text") {
        parts[parts.length - 1] = { type: "text", text: last.text + part.value };
      } else {
        parts.push({ type: "text", text: part.value });
      }
      continue;
    }
    delta(""); // The model is at work, whatever this is.
    if (part instanceof vscode.LanguageModelToolCallPart) {
      parts.push({ type: "toolCall", id: part.callId, name: part.name, input: part.input });
    }
  }
  return parts;
}

/** @throws ModelRefused where the conversation is longer than the model takes. */
async function checkSize(
  model: vscode.LanguageModelChat,
  request: ModelRequest,
  messages: readonly vscode.LanguageModelChatMessage[],
  token: vscode.CancellationToken,
): Promise<void> {
  if (JSON.stringify(request).length <= model.maxInputTokens) {
    return; // A token has a character at least, and counting costs a round trip a message.
  }
  const counts = await Promise.all(messages.map((message) => model.countTokens(message, token)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total > model.maxInputTokens) {
    throw new ModelRefused("ContextOverflow", `${total} tokens are more than the ${model.maxInputTokens} that ${name(model)} takes.`);
  }
}

/** What no second request would change; undefined where one may. */
function refusal(error: unknown): ModelRefused | undefined {
  if (error instanceof ModelRefused) {
    return error;
  }
  const { code = "", name: kind = "", message = "" } = error as { code?: unknown; name?: string; message?: string };
  if (code === "NoPermissions" || code === "NotFound" || code === "Blocked") {
    return new ModelRefused(code, message);
  }
  if (/quota/i.test(`${String(code)} ${kind}`)) {
    return new ModelRefused("Blocked", message);
  }
  const tooLong = /(context|prompt|input)[^.]{0,40}(too long|length|window|limit)|token limit|too many tokens/i;
  return tooLong.test(message) ? new ModelRefused("ContextOverflow", message) : undefined;
}
