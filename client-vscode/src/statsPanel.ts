/** The panel of the pools' figures: curves over time, and all figures as they are now. */

import { randomBytes } from "node:crypto";
import * as vscode from "vscode";
import { chart, type Chart } from "./charts";
import { bytes, millis, percent, statsRows } from "./figures";
import type { PoolStats } from "./protocol";
import { StatsHistory } from "./statsHistory";

const MIB = 1024 * 1024;

/** Owns the panel, which is there once at most, and the figures it draws, which outlive it. */
export class StatsPanel implements vscode.Disposable {
  private readonly history = new StatsHistory();
  private newest: PoolStats | undefined;
  private panel: vscode.WebviewPanel | undefined;

  constructor(private readonly extension: vscode.Uri) {}

  /** Takes in what the server told by itself. */
  add(stats: PoolStats): void {
    this.newest = stats;
    this.history.add(stats, Date.now());
    this.draw();
  }

  /** Opens the panel, or brings it to the front. */
  show(stats: PoolStats): void {
    // What was asked for has the load since the server began, which is no point of the curve.
    this.newest = stats;
    if (this.panel !== undefined) {
      this.panel.reveal();
      this.draw();
      return;
    }
    const root = vscode.Uri.joinPath(this.extension, "dist");
    const media = vscode.Uri.joinPath(this.extension, "media");
    const options = { enableScripts: true, localResourceRoots: [root, media] };
    const panel = vscode.window.createWebviewPanel("orchestrator.stats", "Orchestrator Pools", vscode.ViewColumn.Active, options);
    this.panel = panel;
    panel.iconPath = vscode.Uri.joinPath(media, "activity.svg");
    panel.onDidDispose(() => {
      this.panel = undefined;
    });
    panel.onDidChangeViewState(() => {
      this.draw(); // A page that was hidden starts anew.
    });
    panel.webview.onDidReceiveMessage(() => {
      this.draw(); // The page is there.
    });
    const address = (uri: vscode.Uri): string => panel.webview.asWebviewUri(uri).toString();
    panel.webview.html = page(
      panel.webview.cspSource,
      address(vscode.Uri.joinPath(root, "stats.js")),
      address(vscode.Uri.joinPath(media, "stats.css")),
    );
  }

  dispose(): void {
    this.panel?.dispose();
  }

  private draw(): void {
    if (this.panel?.visible !== true) {
      return;
    }
    const { samples } = this.history;
    const times = samples.map((sample) => sample.at);
    const charts: readonly Chart[] = [
      {
        title: "Worker utilization",
        curves: [{ name: "busy", style: "one", values: samples.map((sample) => sample.utilization) }],
        least: 1,
        format: percent,
      },
      {
        title: "Jobs stolen by idle workers",
        curves: [{ name: "stolen", style: "two", values: samples.map((sample) => sample.stolen) }],
        least: 4,
        bars: true,
        format: (value) => String(Math.round(value)),
      },
      {
        title: "Tool latency",
        curves: [
          { name: "p50", style: "one", values: samples.map((sample) => sample.p50Ms) },
          { name: "p99", style: "two", values: samples.map((sample) => sample.p99Ms) },
        ],
        least: 1,
        format: millis,
      },
      {
        title: "Server memory",
        curves: [{ name: "resident", style: "one", values: samples.map((sample) => sample.rssBytes / MIB) }],
        least: 10,
        format: (value) => bytes(value * MIB),
      },
    ];
    void this.panel.webview.postMessage({
      charts: samples.length === 0 ? "" : charts.map((each) => `<section>${chart(each, times)}</section>`).join(""),
      table: this.newest === undefined ? [] : statsRows(this.newest),
    });
  }
}

/** The page without its figures. It may load its own script and style sheet, and nothing else. */
function page(source: string, script: string, style: string): string {
  const nonce = randomBytes(16).toString("base64");
  const policy = `default-src 'none'; style-src ${source}; script-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${style}">
<title>Orchestrator Pools</title>
</head>
<body>
<main id="charts"></main>
<p id="empty">Curves appear as soon as a mission runs.</p>
<table id="table"></table>
<script nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}
