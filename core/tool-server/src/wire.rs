//! Lines on stdin and stdout: one message each.

use std::io::{BufRead, IoSlice, Write};

use serde_json::Value;

/// Writes one line, without putting its parts together first.
pub fn write_line(parts: &[&[u8]]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    // The lock keeps lines whole.
    let mut output = std::io::stdout().lock();
    while !rest.is_empty() {
        match output.write_vectored(rest) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

/// What was read.
pub enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads up to a newline; of a line that is too long, keeps the beginning and skips the rest.
pub fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    limit: usize,
) -> std::io::Result<Line> {
    let mut too_long = false;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(Line::End);
        }
        let newline = memchr::memchr(b'\n', chunk);
        let part = &chunk[..newline.unwrap_or(chunk.len())];
        if line.len() + part.len() > limit {
            too_long = true;
            line.truncate(256);
        } else if !too_long {
            line.extend_from_slice(part);
        }
        let used = newline.map_or(chunk.len(), |at| at + 1);
        input.consume(used);
        if newline.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

/// The id of a request whose line was too long to parse, if it stands near the beginning.
pub fn leading_id(line: &[u8]) -> Value {
    let head = String::from_utf8_lossy(&line[..line.len().min(256)]).into_owned();
    let Some((_, rest)) = head.split_once("\"id\"") else {
        return Value::Null;
    };
    let rest = rest.trim_start().trim_start_matches(':').trim_start();
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    serde_json::from_str(rest[..end].trim()).unwrap_or(Value::Null)
}
