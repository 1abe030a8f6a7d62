//! Reading files into memory, as far as they belong there.

use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Result};
use std::path::Path;

use super::stamp::Stamp;
use crate::text::{MAX_HELD_BYTES, PROBE_BYTES, Text};

/// Reads a file; of a binary or very large one, only as much as it takes to know.
pub fn read(path: &Path) -> Result<(Text, Stamp)> {
    let (mut text, stamp) = read_through(path, &mut Vec::new())?;
    text.bytes.shrink_to_fit();
    Ok((text, stamp))
}

/// Reads a file as [`read`] does, into memory that was used before. A text takes it along.
pub fn read_through(path: &Path, bytes: &mut Vec<u8>) -> Result<(Text, Stamp)> {
    let mut file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Error::other("not a regular file"));
    }
    let stamp = Stamp::from(&metadata);
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    let held = size.min(MAX_HELD_BYTES);
    bytes.clear();
    bytes.try_reserve_exact(if size > held { PROBE_BYTES } else { held })?;
    // The size spares the call that would find the end. A file that grows meanwhile is reported
    // as changed, or its stamp differs.
    fill(&mut file, bytes, held.min(PROBE_BYTES))?;
    if size == 0 {
        // Some file systems make a text up as it is read, and give no size.
        fill(&mut file, bytes, MAX_HELD_BYTES)?;
    }
    if let Some(text) = Text::early_binary(bytes, size) {
        return Ok((text, stamp));
    }
    if size > held {
        return Ok((Text::too_large(size), stamp));
    }
    fill(&mut file, bytes, held)?;
    Ok((Text::from_file_bytes(std::mem::take(bytes)), stamp))
}

/// Opens without waiting, should a pipe have taken the file's place.
fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}

/// Reads until so many bytes are there, or the file ends.
fn fill(file: &mut File, bytes: &mut Vec<u8>, size: usize) -> Result<usize> {
    let missing = size.saturating_sub(bytes.len());
    file.take(missing as u64).read_to_end(bytes)
}
