//! Newline-delimited JSON-RPC 2.0 on stdio: reading, multiplexing, cancelling, answering.
//!
//! One thread reads; a fixed set of threads runs the calls, so answers come out of order. Work
//! is stopped by a flag per request that every long loop looks at ([`Cancel::check`]). A panic
//! in a call answers that call with an error and takes nothing else down.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::Options;
use crate::failure::{
    Failure, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, Outcome, PARSE_ERROR,
};
use crate::mcp;
use crate::memory;
use crate::wire::{Line, leading_id, read_line, write_line};
use crate::workspace::Workspaces;

/// Answers above this size give their memory back to the system at once.
const LARGE_ANSWER_BYTES: usize = 8 << 20;

/// Set when the caller no longer wants a request's result.
#[derive(Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn check(&self) -> Outcome<()> {
        if self.is_set() {
            return Err(Failure::cancelled());
        }
        Ok(())
    }
}

/// A result as JSON text: results can be large and are serialised once.
pub type Answer = Vec<u8>;

struct Job {
    id: Value,
    method: String,
    params: Value,
    cancel: Cancel,
}

/// What the reading thread and the running threads share.
pub struct Server {
    pub workspaces: Workspaces,
    queue: Mutex<VecDeque<Job>>,
    wake: Condvar,
    running: Mutex<HashMap<String, Cancel>>,
}

/// Serves until stdin ends.
pub fn serve(options: Options) -> ExitCode {
    let server = Arc::new(Server {
        workspaces: Workspaces::new(options.root, options.memory_bytes, options.watching),
        queue: Mutex::default(),
        wake: Condvar::new(),
        running: Mutex::default(),
    });
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    for number in 0..(threads * 2).clamp(4, 32) {
        let server = Arc::clone(&server);
        let started = std::thread::Builder::new()
            .name(format!("call-{number}"))
            .stack_size(8 << 20)
            .spawn(move || server.run_calls());
        if let Err(error) = started {
            eprintln!("opencode-tool-server: cannot start a thread: {error}");
            return ExitCode::FAILURE;
        }
    }
    server.read_requests(options.max_request_bytes);
    ExitCode::SUCCESS
}

impl Server {
    fn read_requests(&self, limit: usize) {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            match read_line(&mut input, &mut line, limit) {
                Ok(Line::End) => return,
                Ok(Line::TooLong) => {
                    let message = format!("a request line of more than {limit} bytes was refused");
                    respond(&leading_id(&line), Err(Failure::broken(message)));
                    line = Vec::new();
                }
                Ok(Line::Whole) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Line::Whole) => self.accept(&line),
                Err(error) => {
                    eprintln!("opencode-tool-server: stdin: {error}");
                    return;
                }
            }
        }
    }

    fn accept(&self, line: &[u8]) {
        let message = match serde_json::from_slice::<Value>(line) {
            Ok(message) => message,
            Err(error) => {
                let failure = Failure {
                    code: PARSE_ERROR,
                    message: format!("the request is not valid JSON: {error}"),
                    data: None,
                };
                return respond(&Value::Null, Err(failure));
            }
        };
        let Value::Object(mut message) = message else {
            return respond(&Value::Null, Err(invalid_request("a request is an object")));
        };
        let id = message.remove("id");
        let params = message.remove("params").unwrap_or(Value::Null);
        let Some(Value::String(method)) = message.remove("method") else {
            // A response to a request that this server never sends.
            if message.contains_key("result") || message.contains_key("error") {
                return;
            }
            let id = id.unwrap_or(Value::Null);
            return respond(&id, Err(invalid_request("`method` must be a string")));
        };
        match id {
            None | Some(Value::Null) => self.notified(&method, &params),
            Some(id @ (Value::String(_) | Value::Number(_))) => self.enqueue(id, method, params),
            Some(_) => respond(
                &Value::Null,
                Err(invalid_request("`id` must be a string or a number")),
            ),
        }
    }

    fn enqueue(&self, id: Value, method: String, params: Value) {
        let cancel = Cancel::default();
        locked(&self.running).insert(id.to_string(), cancel.clone());
        // Answered here: a ping says that the process is alive, however busy it is.
        match method.as_str() {
            "ping" => return self.answer(&id, Ok(b"{}".to_vec())),
            "orchestrator/status" => {
                let status = json!({"heldBytes": self.workspaces.held_bytes()});
                return self.answer(&id, Ok(status.to_string().into_bytes()));
            }
            _ => {}
        }
        locked(&self.queue).push_back(Job {
            id,
            method,
            params,
            cancel,
        });
        self.wake.notify_one();
    }

    fn notified(&self, method: &str, params: &Value) {
        match method {
            "notifications/cancelled" => {
                if let Some(id) = params.get("requestId")
                    && let Some(cancel) = locked(&self.running).get(&id.to_string())
                {
                    cancel.set();
                }
            }
            "overlay/set" | "overlay/clear" => {
                if let Err(failure) = self.overlay(method, params) {
                    eprintln!("opencode-tool-server: {method}: {}", failure.message);
                }
            }
            // Other notifications need no reaction, and a notification gets no answer.
            _ => {}
        }
    }

    fn overlay(&self, method: &str, params: &Value) -> Outcome<()> {
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        let path = text("path").ok_or_else(|| Failure::rejected("`path` is missing"))?;
        let buffer = match (method, text("text")) {
            ("overlay/clear", _) => None,
            (_, Some(buffer)) => Some(buffer.to_owned()),
            (_, None) => return Err(Failure::rejected("`text` is missing")),
        };
        self.workspaces.set_overlay(text("root"), path, buffer)
    }

    fn run_calls(&self) {
        loop {
            let job = {
                let mut queue = locked(&self.queue);
                loop {
                    if let Some(job) = queue.pop_front() {
                        break job;
                    }
                    queue = self
                        .wake
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            };
            let Job {
                id,
                method,
                params,
                cancel,
            } = job;
            let outcome = cancel.check().and_then(|()| {
                std::panic::catch_unwind(AssertUnwindSafe(|| self.handle(&method, params, &cancel)))
                    .unwrap_or_else(|panic| Err(panicked(&method, panic.as_ref())))
            });
            self.answer(&id, outcome);
        }
    }

    fn handle(&self, method: &str, params: Value, cancel: &Cancel) -> Outcome<Answer> {
        match method {
            "initialize" => Ok(mcp::initialize(&params).to_string().into_bytes()),
            "tools/list" => Ok(mcp::list_tools().to_string().into_bytes()),
            "tools/call" => mcp::call_tool(self, params, cancel),
            _ => Err(Failure {
                code: METHOD_NOT_FOUND,
                message: format!("unknown method {method:?}"),
                data: None,
            }),
        }
    }

    fn answer(&self, id: &Value, outcome: Outcome<Answer>) {
        locked(&self.running).remove(&id.to_string());
        respond(id, outcome);
    }
}

/// Locks, also after a panic of another holder: what these locks guard is never left half done.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn invalid_request(message: &str) -> Failure {
    Failure {
        code: INVALID_REQUEST,
        message: message.into(),
        data: None,
    }
}

fn panicked(method: &str, panic: &(dyn std::any::Any + Send)) -> Failure {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Failure {
        code: INTERNAL_ERROR,
        message: format!("{method} failed inside the tool server: {what}"),
        data: None,
    }
}

fn respond(id: &Value, outcome: Outcome<Answer>) {
    let (member, body) = match outcome {
        Ok(result) => ("result", result),
        Err(failure) => ("error", failure.to_json().to_string().into_bytes()),
    };
    let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"{member}\":");
    let written = write_line(&[head.as_bytes(), &body, b"}\n"]);
    if written.is_err() {
        // Nobody reads any more: there is nobody to serve.
        std::process::exit(0);
    }
    let large = body.len() > LARGE_ANSWER_BYTES;
    drop(body);
    if large {
        memory::trim();
    }
}
