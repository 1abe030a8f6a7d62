/** Answers of the server as read-only pages, shown in VS Code's markdown preview. */

import * as vscode from "vscode";

const SCHEME = "orchestrator-report";

export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registration: vscode.Disposable;

  constructor() {
    this.registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? "";
  }

  /** Shows a page; one of the same name is replaced. */
  async show(name: string, markdown: string): Promise<void> {
    await vscode.commands.executeCommand("markdown.showPreview", this.put(`${name}.md`, markdown));
  }

  /** Shows a unified diff with its colours. */
  async showDiff(name: string, diff: string): Promise<void> {
    const document = await vscode.workspace.openTextDocument(this.put(`${name}.diff`, diff));
    await vscode.window.showTextDocument(document, { preview: true });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }

  private put(name: string, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${name}` });
    this.texts.set(uri.path, text);
    this.changed.fire(uri);
    return uri;
  }
}
