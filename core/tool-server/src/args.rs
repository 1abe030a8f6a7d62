//! Typed access to a call's arguments, with errors that name the tool and the argument.
//!
//! Each accessor takes the argument out, so that [`Args::finish`] can refuse what no tool asked
//! for: a misspelt argument must not be ignored in silence.

use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};

pub struct Args {
    tool: &'static str,
    values: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Args {
    pub fn new(tool: &'static str, value: Value) -> Outcome<Self> {
        let values = match value {
            Value::Object(values) => values,
            Value::Null => Map::new(),
            other => {
                return Err(Failure::rejected(format!(
                    "{tool}: arguments must be an object, not {}",
                    describe(&other)
                )));
            }
        };
        Ok(Self {
            tool,
            values,
            known: Vec::new(),
        })
    }

    /// Takes an argument out; null counts as absent.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.values.remove(name).filter(|value| !value.is_null())
    }

    pub fn wrong(&self, name: &str, expected: &str, got: &Value) -> Failure {
        Failure::rejected(format!(
            "{}: argument `{name}` must be {expected}, not {}",
            self.tool,
            describe(got)
        ))
    }

    pub fn missing(&self, name: &str, expected: &str) -> Failure {
        Failure::rejected(format!(
            "{}: argument `{name}` is missing: give {expected}",
            self.tool
        ))
    }

    pub fn rejected(&self, message: &str) -> Failure {
        Failure::rejected(format!("{}: {message}", self.tool))
    }

    pub fn text(&mut self, name: &'static str) -> Outcome<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    pub fn required_text(&mut self, name: &'static str) -> Outcome<String> {
        self.text(name)?
            .ok_or_else(|| self.missing(name, "a string"))
    }

    pub fn flag(&mut self, name: &'static str) -> Outcome<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    /// A whole number within `least..=most`.
    pub fn number(
        &mut self,
        name: &'static str,
        least: usize,
        most: usize,
    ) -> Outcome<Option<usize>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
        match number {
            Some(n) if (least..=most).contains(&n) => Ok(Some(n)),
            _ => Err(self.wrong(
                name,
                &format!("a whole number from {least} to {most}"),
                &value,
            )),
        }
    }

    pub fn texts(&mut self, name: &'static str) -> Outcome<Option<Vec<String>>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return Err(self.wrong(name, "a list of strings", &value));
        };
        items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                other => Err(self.wrong(name, "a list of strings only", &other)),
            })
            .collect::<Outcome<Vec<_>>>()
            .map(Some)
    }

    pub fn list(&mut self, name: &'static str) -> Outcome<Option<Vec<Value>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(name, "a list", &other)),
        }
    }

    /// Refuses arguments that the tool does not know.
    ///
    /// Every tool takes `root`, also one that reads no files: a client need not know which do.
    pub fn finish(mut self) -> Outcome<()> {
        self.values.remove("root");
        let Some(name) = self.values.keys().next().cloned() else {
            return Ok(());
        };
        self.known.sort_unstable();
        Err(Failure::rejected(format!(
            "{}: unknown argument `{name}`; it takes {}",
            self.tool,
            self.known.join(", ")
        )))
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
