//! Why a call did not give a result, as JSON-RPC reports it.

use serde_json::{Value, json};

pub const PARSE_ERROR: i64 = -32700;
pub const INVALID_REQUEST: i64 = -32600;
pub const METHOD_NOT_FOUND: i64 = -32601;
pub const INVALID_PARAMS: i64 = -32602;
pub const INTERNAL_ERROR: i64 = -32603;
/// The same code as the Language Server Protocol uses for a cancelled request.
pub const CANCELLED: i64 = -32800;

/// A failed call. The message says what happened, where, and what to do.
#[derive(Debug)]
pub struct Failure {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// The caller's arguments are wrong.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self {
            code: INVALID_PARAMS,
            message: message.into(),
            data: None,
        }
    }

    /// The world did not do what the call needs: a file, a program, the operating system.
    pub fn broken(message: impl Into<String>) -> Self {
        Self {
            code: INTERNAL_ERROR,
            message: message.into(),
            data: None,
        }
    }

    /// The caller cancelled the call.
    pub fn cancelled() -> Self {
        Self {
            code: CANCELLED,
            message: "the call was cancelled".into(),
            data: None,
        }
    }

    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The `error` member of a JSON-RPC response.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Some(data) => json!({"code": self.code, "message": self.message, "data": data}),
            None => json!({"code": self.code, "message": self.message}),
        }
    }
}
