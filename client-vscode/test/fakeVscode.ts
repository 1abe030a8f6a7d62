/** The part of VS Code's programming interface that the unit tests need: `esbuild.mjs` puts it in the place of `vscode`. */

/** Calls its listeners in the order in which they came. */
export class EventEmitter<T> {
  private readonly listeners = new Set<(value: T) => void>();

  readonly event = (listener: (value: T) => void): { dispose(): void } => {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  };

  fire(value: T): void {
    for (const listener of this.listeners) {
      listener(value);
    }
  }

  dispose(): void {
    this.listeners.clear();
  }
}

export class CancellationTokenSource {
  private readonly cancelled = new EventEmitter<undefined>();
  readonly token = {
    isCancellationRequested: false,
    onCancellationRequested: (listener: () => void) => {
      if (this.token.isCancellationRequested) {
        queueMicrotask(listener); // who comes late is told as well
      }
      return this.cancelled.event(listener);
    },
  };

  cancel(): void {
    this.token.isCancellationRequested = true;
    this.cancelled.fire(undefined);
  }
}

export class LanguageModelTextPart {
  constructor(readonly value: string) {}
}

export class LanguageModelToolCallPart {
  constructor(
    readonly callId: string,
    readonly name: string,
    readonly input: object,
  ) {}
}

export class LanguageModelToolResultPart {
  constructor(
    readonly callId: string,
    readonly content: unknown[],
  ) {}
}

export class LanguageModelChatMessage {
  static User(content: unknown): LanguageModelChatMessage {
    return new LanguageModelChatMessage("user", content);
  }

  static Assistant(content: unknown): LanguageModelChatMessage {
    return new LanguageModelChatMessage("assistant", content);
  }

  constructor(
    readonly role: "user" | "assistant",
    readonly content: unknown,
  ) {}
}

export const LanguageModelChatToolMode = { Auto: 1, Required: 2 };

export class LanguageModelError extends Error {
  static readonly NoPermissions = (message?: string): LanguageModelError => new LanguageModelError("NoPermissions", message);
  static readonly NotFound = (message?: string): LanguageModelError => new LanguageModelError("NotFound", message);
  static readonly Blocked = (message?: string): LanguageModelError => new LanguageModelError("Blocked", message);

  constructor(
    readonly code: string,
    message = "",
  ) {
    super(message);
  }
}

/** A window without a folder. */
export const workspace = { workspaceFolders: undefined };
