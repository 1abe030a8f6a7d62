//! The methods of the Model Context Protocol.

use serde_json::{Value, json};

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::rpc::{Answer, Cancel, Server};
use crate::tools;

/// Protocol revisions whose handshake this server speaks, the newest last.
const PROTOCOL_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// A client that sets this in `_meta` reads `structuredContent`, and gets a one-line summary as
/// text instead of the whole result a second time.
const STRUCTURED: &str = "orchestrator/structured";

pub fn initialize(params: &Value) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let newest = PROTOCOL_VERSIONS[PROTOCOL_VERSIONS.len() - 1];
    let version = asked
        .filter(|asked| PROTOCOL_VERSIONS.contains(asked))
        .unwrap_or(newest);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": false}},
        "serverInfo": {"name": "opencode-tool-server", "version": env!("CARGO_PKG_VERSION")},
        "instructions": "Search, rewrite (dry run only) and inspect the files of a workspace. \
                         Nothing is ever written: rewriting tools answer with edits.",
    })
}

pub fn list_tools() -> Value {
    let tools: Vec<Value> = tools::ALL
        .iter()
        .map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "inputSchema": (tool.schema)(),
                "annotations": {"readOnlyHint": true, "openWorldHint": false},
            })
        })
        .collect();
    json!({"tools": tools})
}

pub fn call_tool(server: &Server, params: Value, cancel: &Cancel) -> Outcome<Answer> {
    let Value::Object(mut params) = params else {
        return Err(Failure::rejected("tools/call: params must be an object"));
    };
    let Some(Value::String(name)) = params.remove("name") else {
        return Err(Failure::rejected("tools/call: `name` must be a string"));
    };
    let Some(tool) = tools::ALL.iter().find(|tool| tool.name == name) else {
        let names: Vec<&str> = tools::ALL.iter().map(|tool| tool.name).collect();
        return Err(Failure::rejected(format!(
            "unknown tool {name:?}; the tools are {}",
            names.join(", ")
        )));
    };
    let summary_only = params
        .get("_meta")
        .and_then(|meta| meta.get(STRUCTURED))
        .is_some_and(|flag| flag == &Value::Bool(true));
    let arguments = params.remove("arguments").unwrap_or(Value::Null);
    let report = (tool.run)(&server.workspaces, Args::new(tool.name, arguments)?, cancel)?;
    let text = match summary_only {
        true => serde_json::to_vec(&report.summary),
        false => serde_json::to_vec(&String::from_utf8_lossy(&report.structured)),
    };
    let text =
        text.map_err(|error| Failure::broken(format!("{name}: the result is not JSON: {error}")))?;
    let head = b"{\"content\":[{\"type\":\"text\",\"text\":";
    let middle = b"}],\"structuredContent\":";
    Ok([head, &*text, middle, &*report.structured, b"}"].concat())
}
