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

/** Work that ends sooner is not shown: a notification that flashes up tells nothing. */
const SHOW_AFTER_MS = 300;

/** One piece of work, from its beginning to its end. */
class Work {
  private readonly timer: NodeJS.Timeout;
  private progress: vscode.Progress<{ message?: string; increment?: number }> | undefined;
  private close: () => void = () => undefined;
  private message: string | undefined;
  private percentage = 0;
  private shownPercentage = 0;

  constructor(title: string, cancel: () => void) {
    this.timer = setTimeout(() => {
      this.show(title, cancel);
    }, SHOW_AFTER_MS);
  }

  report(value: WorkDoneProgressBegin | WorkDoneProgressReport): void {
    this.message = value.message ?? this.message;
    this.percentage = Math.max(this.percentage, Math.min(value.percentage ?? 0, 100));
    if (this.progress !== undefined) {
      const increment = this.percentage - this.shownPercentage;
      this.shownPercentage = this.percentage;
      this.progress.report(this.message === undefined ? { increment } : { increment, message: this.message });
    }
  }

  end(): void {
    clearTimeout(this.timer);
    this.close();
  }

  private show(title: string, cancel: () => void): void {
    const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
    void vscode.window.withProgress(options, (progress, cancelled) => {
      this.progress = progress;
      this.report({ kind: "report" });
      return new Promise<void>((resolve) => {
        this.close = resolve;
        cancelled.onCancellationRequested(() => {
          cancel();
          resolve();
        });
      });
    });
  }
}

/**
 * Shows cancellable progress as a notification: the library puts all progress into the status
 * bar, where VS Code offers neither a percentage nor a way to cancel.
 */
export class CancellableProgress implements vscode.Disposable {
  private readonly atWork = new Map<ProgressToken, Work>();

  /** @param cancel tells the server that a person cancelled. */
  constructor(private readonly cancel: (token: ProgressToken) => void) {}

  /** For the client's middleware of the same name. */
  readonly handle = (token: ProgressToken, value: Report, next: HandleWorkDoneProgressSignature): void => {
    if (value.kind === "begin" && value.cancellable === true) {
      this.atWork.get(token)?.end();
      const work = new Work(value.title, () => {
        this.cancel(token);
      });
      work.report(value);
      this.atWork.set(token, work);
      return;
    }
    const work = this.atWork.get(token);
    if (work === undefined || value.kind !== "report") {
      work?.end();
      this.atWork.delete(token);
      next(token, value); // an end, too: it lets the library forget the token
    } else {
      work.report(value);
    }
  };

  /** Closes whatever is shown: the server is gone. */
  clear(): void {
    for (const work of this.atWork.values()) {
      work.end();
    }
    this.atWork.clear();
  }

  dispose(): void {
    this.clear();
  }
}
