/** Shows what a mission changed: VS Code's diff editor with the text from before the mission. */

import * as vscode from "vscode";
import { RenameFile, TextDocumentEdit, type ApplyWorkspaceEditParams, type ApplyWorkspaceEditResult } from "vscode-languageclient/node";
import { BeforeImages } from "./beforeImages";
import { filesChanged, label, pathNow, type Mission } from "./missions";
import { fileOf } from "./places";
import type { FileChange, MissionEvent } from "./protocol";

const SCHEME = "orchestrator-before";

/** Remembers files before edits, saves them after, and opens the differences. */
export class Changes implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly images = new BeforeImages();
  private readonly registration: vscode.Disposable;

  constructor() {
    this.registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  /**
   * For the client's middleware `handleApplyEdit`: notes the texts, lets the edit happen, and
   * saves the files that had no unsaved text before, so that other programs see the edit and no
   * tab opens for it. Text that a person has not saved stays unsaved.
   */
  async around(
    params: ApplyWorkspaceEditParams,
    next: (params: ApplyWorkspaceEditParams) => Promise<ApplyWorkspaceEditResult>,
  ): Promise<ApplyWorkspaceEditResult> {
    const files = addresses(params).map((address) => vscode.Uri.parse(address));
    const unsaved = new Set(files.map(String).filter((address) => openDocument(address)?.isDirty === true));
    for (const change of params.edit.documentChanges ?? []) {
      if (RenameFile.is(change) && unsaved.has(vscode.Uri.parse(change.oldUri).toString())) {
        unsaved.add(vscode.Uri.parse(change.newUri).toString());
      }
    }
    await Promise.all(
      files.map(async (file) => {
        this.images.taken(file.toString(), await textOf(file));
      }),
    );
    const result = await next(params);
    if (result.applied && vscode.workspace.getConfiguration("orchestrator").get<boolean>("saveEditedFiles", true)) {
      const toSave = files.map(String).filter((address) => !unsaved.has(address));
      await Promise.all(toSave.map(async (address) => openDocument(address)?.save()));
    }
    return result;
  }

  /** Gives the texts to the mission whose edits were applied. */
  follow(event: MissionEvent): void {
    if (event.kind !== "editApplied") {
      return;
    }
    for (const change of event.changes) {
      const file = fileOf(change.path);
      if (file !== undefined) {
        this.images.assign(event.missionId, file.toString());
      }
    }
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.images.get(uri.query, uri.with({ scheme: "file", query: "" }).toString()) ?? "";
  }

  /** All changes of a mission in one editor. */
  async show(mission: Mission): Promise<void> {
    const rows = filesChanged(mission).map((change) => this.sides(mission, change));
    const known = rows.filter((row) => row.before !== undefined || row.change.kind === "create");
    if (known.length === 0) {
      await this.pick(mission);
      return;
    }
    await vscode.commands.executeCommand(
      "vscode.changes",
      label(mission),
      rows.map(({ after, before, change }) => [
        after,
        change.kind === "create" ? undefined : before,
        change.kind === "delete" ? undefined : after,
      ]),
    );
  }

  /** One file: the difference where the text from before is known, else the file itself. */
  async open(mission: Mission, change: FileChange): Promise<void> {
    const { before, after } = this.sides(mission, change);
    if (change.kind === "delete") {
      if (before !== undefined) {
        await vscode.commands.executeCommand("vscode.open", before);
      }
    } else if (before === undefined || change.kind === "create") {
      await vscode.commands.executeCommand("vscode.open", after);
    } else {
      await vscode.commands.executeCommand("vscode.diff", before, after, `${change.path} (before mission ↔ now)`);
    }
  }

  dispose(): void {
    this.registration.dispose();
  }

  private sides(mission: Mission, change: FileChange): { change: FileChange; before: vscode.Uri | undefined; after: vscode.Uri } {
    const from = fileOf(change.path) ?? vscode.Uri.file(change.path);
    const known = this.images.get(mission.id, from.toString()) !== undefined;
    return {
      change,
      before: known ? from.with({ scheme: SCHEME, query: mission.id }) : undefined,
      after: fileOf(pathNow(change)) ?? from,
    };
  }

  /** Without any text from before, for example after the window was loaded anew. */
  private async pick(mission: Mission): Promise<void> {
    const choice = await vscode.window.showQuickPick(
      filesChanged(mission).map((change) => ({ label: change.path, description: change.kind, change })),
      { title: label(mission), placeHolder: "Open a file that the mission changed" },
    );
    if (choice !== undefined) {
      await this.open(mission, choice.change);
    }
  }
}

function addresses({ edit }: ApplyWorkspaceEditParams): string[] {
  const found = new Set(Object.keys(edit.changes ?? {}));
  for (const change of edit.documentChanges ?? []) {
    if (TextDocumentEdit.is(change)) {
      found.add(change.textDocument.uri);
    } else {
      found.add(change.kind === "rename" ? change.oldUri : change.uri);
    }
  }
  return [...found];
}

function openDocument(address: string): vscode.TextDocument | undefined {
  return vscode.workspace.textDocuments.find((document) => document.uri.toString() === address);
}

async function textOf(uri: vscode.Uri): Promise<string> {
  const open = openDocument(uri.toString());
  if (open !== undefined) {
    return open.getText();
  }
  try {
    return new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
  } catch {
    return ""; // The edit creates the file.
  }
}
