//! JSON schemas of arguments, put together from parts that several tools share.

use serde_json::{Map, Value, json};

/// Builds an object schema; properties named in `required` must be given.
pub fn object(required: &[&str], parts: &[Value]) -> Value {
    let mut properties = Map::new();
    for part in parts {
        if let Value::Object(fields) = part {
            properties.extend(fields.clone());
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

pub fn root() -> Value {
    json!({"root": {"type": "string", "description": "Absolute path of the workspace folder; the server's own root if absent."}})
}

pub fn documents() -> Value {
    json!({"documents": {
        "type": "array",
        "description": "Unsaved buffers, searched instead of the disk; null text stands for a deleted file.",
        "items": {"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": ["string", "null"]}}, "required": ["path"]},
    }})
}

/// Arguments that select files.
pub fn selection() -> Value {
    let strings = |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    json!({
        "globs": strings("Globs as `rg -g` takes them, `!` to exclude; a folder's name means everything below it."),
        "paths": strings("Explicit files or folders, relative to the root; explicit files are never ignored."),
        "types": strings("File types as `rg -t` takes them, `!` to exclude."),
        "hidden": {"type": "boolean", "description": "Also hidden files and folders."},
        "noIgnore": {"type": "boolean", "description": "Do not read .gitignore, .ignore and .rgignore."},
        "respectIgnore": {"type": "boolean", "description": "Globs only narrow the selection; by default a glob brings back ignored files that it names, as in ripgrep."},
    })
}

/// Arguments that say how a regular expression is read.
pub fn syntax() -> Value {
    json!({
        "literal": {"type": "boolean", "description": "The pattern is plain text."},
        "ignoreCase": {"type": "boolean"},
        "word": {"type": "boolean", "description": "Match whole words only."},
        "multiline": {"type": "boolean", "description": "A match may span lines."},
    })
}

pub fn limit(default: usize) -> Value {
    json!({"limit": {"type": "integer", "minimum": 1, "maximum": super::grep::MAX_LIMIT, "default": default, "description": "The most results to give; `truncated` says when there are more."}})
}

pub fn language() -> Value {
    let names: Vec<&str> = crate::language::LANGUAGES.iter().map(|l| l.name).collect();
    json!({"language": {"type": "string", "description": format!("One of {}, or an alias.", names.join(", "))}})
}
