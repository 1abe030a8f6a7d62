import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type * as vscode from "vscode";
import { LanguageModels, ModelRefused } from "../src/languageModel";
import type { ModelRequest } from "../src/modelProtocol";
import * as fake from "./fakeVscode";

interface Asked {
  readonly messages: readonly fake.LanguageModelChatMessage[];
  readonly options: vscode.LanguageModelChatRequestOptions;
  readonly token: vscode.CancellationToken;
}

type Reply = (asked: Asked) => AsyncIterable<unknown>;

/** A language model that answers as it is told to, and keeps what it was asked. */
class Model {
  readonly asked: Asked[] = [];
  readonly vendor = "acme";
  readonly maxInputTokens: number = 1_000_000;
  tokensAMessage = 1;

  constructor(
    readonly id: string,
    private readonly reply: Reply,
    more: Partial<Model> = {},
  ) {
    Object.assign(this, more);
  }

  sendRequest(messages: Asked["messages"], options: Asked["options"], token: Asked["token"]): Promise<object> {
    this.asked.push({ messages, options, token });
    return Promise.resolve({ stream: this.reply({ messages, options, token }) });
  }

  countTokens(): Promise<number> {
    return Promise.resolve(this.tokensAMessage);
  }
}

/** `vscode.lm` with these models, which may come and go. */
class Models {
  readonly changed = new fake.EventEmitter<undefined>();
  readonly onDidChangeChatModels = this.changed.event;
  all: readonly Model[];

  constructor(...all: Model[]) {
    this.all = all;
  }

  selectChatModels(): Promise<readonly Model[]> {
    return Promise.resolve(this.all);
  }
}

const NEVER = new fake.CancellationTokenSource().token as unknown as vscode.CancellationToken;

const request = (more: Partial<ModelRequest> = {}): ModelRequest => ({
  token: "lm-1",
  messages: [{ role: "user", content: "hello" }],
  ...more,
});

function bridge(api: Models | undefined, wanted = ""): LanguageModels {
  return new LanguageModels(api as unknown as typeof vscode.lm | undefined, () => wanted);
}

async function* says(...parts: unknown[]): AsyncGenerator {
  for (const part of parts) {
    yield await Promise.resolve(part);
  }
}

// eslint-disable-next-line require-yield -- it fails before it says anything
async function* fails(error: Error): AsyncGenerator {
  await Promise.resolve();
  throw error;
}

const text = (value: string): unknown => new fake.LanguageModelTextPart(value);

describe("the bridge to language models", () => {
  it("streams texts and tool calls, and answers them in their order", async () => {
    const call = new fake.LanguageModelToolCallPart("c1", "read", { path: "a.py" });
    const model = new Model("big", () => says(text("I "), text("look."), call, { thinking: "…" }, text("Now.")));
    const heard: string[] = [];
    const answer = await bridge(new Models(model)).answer(request(), (piece) => heard.push(piece), NEVER);
    assert.deepEqual(answer, {
      content: [
        { type: "text", text: "I look." },
        { type: "toolCall", id: "c1", name: "read", input: { path: "a.py" } },
        { type: "text", text: "Now." },
      ],
      model: "acme/big",
    });
    assert.deepEqual(heard, ["I ", "look.", "", "", "Now."], "what is no text tells that the model is at work");
  });

  it("hands over the conversation with tools, calls and results", async () => {
    const model = new Model("big", () => says(text("done")));
    const tools = [{ name: "read", description: "reads", inputSchema: { type: "object" } }];
    const messages: ModelRequest["messages"] = [
      { role: "user", content: "do it" },
      { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "read", input: { path: "a.py" } }] },
      { role: "user", content: "", toolResults: [{ callId: "c1", content: "x = 1" }] },
      { role: "assistant", content: "" },
    ];
    await bridge(new Models(model)).answer(request({ messages, tools, toolMode: "required" }), () => undefined, NEVER);
    const [asked] = model.asked;
    assert.ok(asked);
    assert.deepEqual(asked.options.tools, tools);
    assert.equal(asked.options.toolMode, fake.LanguageModelChatToolMode.Required);
    assert.match(asked.options.justification ?? "", /Orchestrator/);
    assert.deepEqual(asked.messages, [
      new fake.LanguageModelChatMessage("user", [text("do it")]),
      new fake.LanguageModelChatMessage("assistant", [new fake.LanguageModelToolCallPart("c1", "read", { path: "a.py" })]),
      new fake.LanguageModelChatMessage("user", [new fake.LanguageModelToolResultPart("c1", [text("x = 1")])]),
      new fake.LanguageModelChatMessage("assistant", [text("")]),
    ]);
  });

  it("offers no tools where there are none", async () => {
    const model = new Model("big", () => says(text("done")));
    await bridge(new Models(model)).answer(request({ tools: [] }), () => undefined, NEVER);
    assert.deepEqual(Object.keys(model.asked[0]?.options ?? {}), ["justification"]);
  });

  it("hands the cancellation on", async () => {
    const source = new fake.CancellationTokenSource();
    const model = new Model("big", ({ token }) =>
      (async function* () {
        yield text("…");
        await new Promise((_, reject) => {
          token.onCancellationRequested(() => {
            reject(new Error("Canceled"));
          });
        });
      })(),
    );
    const answer = bridge(new Models(model)).answer(
      request(),
      () => {
        source.cancel();
      },
      source.token as unknown as vscode.CancellationToken,
    );
    await assert.rejects(answer, { message: "Canceled" });
  });

  it("asks the model that the setting names, and says so where it is not there", async () => {
    const [one, two] = [new Model("one", () => says(text("1"))), new Model("two", () => says(text("2")))];
    assert.equal((await bridge(new Models(one, two)).answer(request(), () => undefined, NEVER)).model, "acme/one");
    assert.equal((await bridge(new Models(one, two), "acme/two").answer(request(), () => undefined, NEVER)).model, "acme/two");
    await assert.rejects(bridge(new Models(one), "acme/two").answer(request(), () => undefined, NEVER), { code: "NotFound", message: /acme\/two/ });
    await assert.rejects(bridge(new Models()).answer(request(), () => undefined, NEVER), { code: "NotFound" });
  });

  const refusals: [string, Error, string | undefined][] = [
    ["no consent", fake.LanguageModelError.NoPermissions("denied"), "NoPermissions"],
    ["a model that is gone", fake.LanguageModelError.NotFound("gone"), "NotFound"],
    ["a filter", fake.LanguageModelError.Blocked("filtered"), "Blocked"],
    ["an empty quota", new fake.LanguageModelError("ChatQuotaExceeded", "later"), "Blocked"],
    ["a text that is too long", new Error("the prompt is too long: 9000 tokens"), "ContextOverflow"],
    ["a lost connection", new Error("socket hang up"), undefined],
  ];
  for (const [what, error, code] of refusals) {
    it(`tells ${what} ${code === undefined ? "as it is, to be tried again" : `as ${code}`}`, async () => {
      const model = new Model("big", () => fails(error));
      const failure: unknown = await bridge(new Models(model)).answer(request(), () => undefined, NEVER).catch((caught: unknown) => caught);
      assert.equal(failure instanceof ModelRefused ? failure.code : undefined, code);
      assert.equal((failure as Error).message, error.message);
    });
  }

  it("does not send what is longer than the model takes, and counts only what may be", async () => {
    const model = new Model("small", () => says(text("ok")), { maxInputTokens: 200 });
    await bridge(new Models(model)).answer(request(), () => undefined, NEVER);
    model.tokensAMessage = 201;
    const long = request({ messages: [{ role: "user", content: "x".repeat(400) }] });
    await assert.rejects(bridge(new Models(model)).answer(long, () => undefined, NEVER), { code: "ContextOverflow" });
    model.tokensAMessage = 200;
    await bridge(new Models(model)).answer(long, () => undefined, NEVER);
    assert.equal(model.asked.length, 2);
  });

  it("offers models as long as there are any", async () => {
    const api = new Models();
    const models = bridge(api);
    const told: boolean[] = [];
    models.onOffer((available) => told.push(available));
    await models.look();
    assert.equal(models.available, false);
    api.all = [new Model("big", () => says())];
    api.changed.fire(undefined);
    await new Promise(setImmediate);
    api.changed.fire(undefined);
    await new Promise(setImmediate);
    assert.equal(models.available, true);
    api.all = [];
    api.changed.fire(undefined);
    await new Promise(setImmediate);
    assert.deepEqual(told, [true, false]);
  });

  it("offers nothing in an editor without models", async () => {
    const models = bridge(undefined);
    await models.look();
    assert.equal(models.available, false);
    await assert.rejects(models.answer(request(), () => undefined, NEVER), { code: "NotFound" });
  });
});
