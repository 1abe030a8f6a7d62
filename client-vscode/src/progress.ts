/** Work that can be cancelled, shown where VS Code has a Cancel button. */

import * as vscode from "vscode";
import type {
  HandleWorkDoneProgressSignature,
  ProgressToken,
  WorkDoneProgressBegin,
  WorkDoneProgressEnd,
  WorkDoneProgressReport,
} from "vscode-languageclient/node";

type Report = WorkDoneProgressBegin | WorkDoneProgressReport | WorkDoneProgressEnd;

interface Shown {
  report(value: { message?: string; increment?: number }): void;
  close(): void;
  percentage: number;
}

/**
 * Shows cancellable progress as a notification: the library puts all progress into the status
 * bar, where VS Code offers neither a percentage nor a way to cancel.
 */
export class CancellableProgress implements vscode.Disposable {
  private readonly shown = new Map<ProgressToken, Shown>();

  /** @param cancel tells the server that a person cancelled. */
  constructor(private readonly cancel: (token: ProgressToken) => void) {}

  /** For the client's middleware of the same name. */
  readonly handle = (token: ProgressToken, value: Report, next: HandleWorkDoneProgressSignature): void => {
    if (value.kind === "begin" && value.cancellable === true) {
      this.begin(token, value);
      return;
    }
    const shown = this.shown.get(token);
    if (shown === undefined || value.kind === "begin") {
      next(token, value);
    } else if (value.kind === "report") {
      report(shown, value);
    } else {
      this.shown.delete(token);
      shown.close();
      next(token, value); // lets the library forget the token
    }
  };

  /** Closes whatever is shown: the server is gone. */
  clear(): void {
    for (const shown of this.shown.values()) {
      shown.close();
    }
    this.shown.clear();
  }

  dispose(): void {
    this.clear();
  }

  private begin(token: ProgressToken, value: WorkDoneProgressBegin): void {
    this.shown.get(token)?.close();
    void vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: value.title, cancellable: true },
      (progress, cancelled) =>
        new Promise<void>((resolve) => {
          const subscription = cancelled.onCancellationRequested(() => {
            this.cancel(token);
            resolve();
          });
          const shown: Shown = {
            percentage: 0,
            report: (update) => {
              progress.report(update);
            },
            close: () => {
              subscription.dispose();
              resolve();
            },
          };
          this.shown.set(token, shown);
          report(shown, value);
        }),
    );
  }
}

function report(shown: Shown, value: WorkDoneProgressBegin | WorkDoneProgressReport): void {
  const update: { message?: string; increment?: number } = {};
  if (value.message !== undefined) {
    update.message = value.message;
  }
  if (value.percentage !== undefined && value.percentage > shown.percentage) {
    update.increment = Math.min(value.percentage, 100) - shown.percentage;
    shown.percentage += update.increment;
  }
  shown.report(update);
}
