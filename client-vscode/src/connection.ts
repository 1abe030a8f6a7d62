/** The library's client over a server's process, with the settings and the model that it is offered. */

import type { ChildProcess } from "node:child_process";
import type * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  LSPErrorCodes,
  ResponseError,
  RevealOutputChannelOn,
  type Middleware,
} from "vscode-languageclient/node";
import { ModelRefused, type LanguageModels } from "./languageModel";
import { modelChat, modelDelta } from "./modelProtocol";
import { input } from "./protocol";
import { logLines } from "./serverLog";

/** What a connection is made of. */
export interface Ends {
  readonly output: vscode.LogOutputChannel;
  /** What the server is told of settings, at the start and whenever it asks. */
  readonly settings: () => object;
  readonly models: LanguageModels;
  /** Asks a person for a text. */
  readonly ask: (prompt: string) => Promise<string | undefined>;
  /** What the features of this extension want to see of the traffic. */
  readonly middleware: Middleware;
}

/** A client that is not started yet. What a person is to know of it is said by its owner. */
export function newClient(child: ChildProcess, { output, settings, models, ask, middleware }: Ends): LanguageClient {
  const client = new QuietClient("orchestrator", "OpenCode Orchestrator", () => Promise.resolve(child), {
    documentSelector: [{ scheme: "file" }],
    outputChannel: output,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationOptions: () => ({ ...settings(), input: true, languageModel: models.available }),
    stdioOptions: { stdout: logLines, stderr: logLines },
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => ({ action: CloseAction.DoNotRestart, handled: true }),
    },
    middleware: {
      ...middleware,
      workspace: {
        ...middleware.workspace,
        // The library would send defaults as well: the owner sends what was set.
        didChangeConfiguration: () => Promise.resolve(),
        configuration: (params, token, next) =>
          params.items.every((item) => item.section === "orchestrator") ? params.items.map(settings) : next(params, token),
      },
    },
  });
  client.onRequest(modelChat, async (request, token) => {
    const tell = (text: string): void => {
      void client.sendNotification(modelDelta, { token: request.token, text });
    };
    try {
      return await models.answer(request, tell, token);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof ModelRefused) {
        return new ResponseError(LSPErrorCodes.RequestFailed, message, { code: error.code });
      }
      return new ResponseError(token.isCancellationRequested ? LSPErrorCodes.RequestCancelled : LSPErrorCodes.RequestFailed, message);
    }
  });
  client.onRequest(input, async ({ prompt }) => (await ask(prompt)) ?? null);
  return client;
}

/** The library's client without its pop-ups. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}
