/** Where the files of missions are. */

import * as vscode from "vscode";

/** A path of the server as an address: relative to the first folder, which is the server's root. */
export function fileOf(path: string): vscode.Uri | undefined {
  const root = vscode.workspace.workspaceFolders?.[0]?.uri;
  return root && vscode.Uri.joinPath(root, path);
}
