//! File contents as tools see them: without byte-order mark, UTF-16 turned into UTF-8.

use std::borrow::Cow;
use std::fmt::Write as _;

use encoding_rs::{UTF_16BE, UTF_16LE};
use sha2::{Digest, Sha256};

/// The byte-order mark that a file began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bom {
    None,
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Bom {
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Utf8 => Some("utf-8"),
            Self::Utf16Le => Some("utf-16le"),
            Self::Utf16Be => Some("utf-16be"),
        }
    }
}

/// How much of a file is looked at to tell that it is binary: ripgrep's buffer, so that both
/// agree on what a search finds before the first NUL.
pub const PROBE_BYTES: usize = 64 << 10;

/// Files above this size are never read into memory as a whole: they are searched piece by piece.
pub const MAX_HELD_BYTES: usize = 128 << 20;

/// Syntax trees take many times the memory of their texts: larger texts get none.
const MAX_PARSED_BYTES: usize = 4 << 20;

/// Why a text is not there to be worked with, or only to be searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Binary: a NUL stands so early that no search finds anything.
    EarlyNul,
    /// Binary: something may be found before the first NUL; the bytes are on disk only.
    Nul,
    /// A buffer with NUL in it.
    NulInBuffer,
    /// Larger than [`MAX_HELD_BYTES`]; the bytes are on disk only.
    TooLarge,
}

impl Unfit {
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too large",
            _ => "binary",
        }
    }
}

/// The text of one file or unsaved buffer.
#[derive(Debug)]
pub struct Text {
    /// Without the mark. UTF-8 in most files, else whatever the file holds. Empty for unfit
    /// files on disk.
    pub bytes: Vec<u8>,
    pub bom: Bom,
    pub unfit: Option<Unfit>,
    /// The size on disk, or of the buffer.
    pub size_bytes: usize,
}

const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Text {
    /// Recognises a binary file by its first bytes.
    pub fn early_binary(head: &[u8], size_bytes: usize) -> Option<Self> {
        let wide = matches!(head, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
        // ripgrep searches its first three bytes by themselves if a line ends in them.
        let early_line = head.iter().take(3).any(|&b| b == b'\n');
        let head = &head[..head.len().min(PROBE_BYTES)];
        if wide || early_line || memchr::memchr(0, head).is_none() {
            return None;
        }
        Some(Self::without_bytes(Unfit::EarlyNul, size_bytes))
    }

    /// A file that is not to be held in memory.
    pub fn too_large(size_bytes: usize) -> Self {
        Self::without_bytes(Unfit::TooLarge, size_bytes)
    }

    fn without_bytes(unfit: Unfit, size_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bom: Bom::None,
            unfit: Some(unfit),
            size_bytes,
        }
    }

    pub fn from_file_bytes(bytes: Vec<u8>) -> Self {
        let mut text = Self::decoded(bytes);
        if text.unfit.is_some() {
            text.bytes = Vec::new();
            text.unfit = Some(Unfit::Nul);
        }
        text
    }

    /// An unsaved buffer. A leading U+FEFF counts as the mark of the file it will become.
    pub fn from_buffer(text: String) -> Self {
        Self::decoded(text.into_bytes())
    }

    fn decoded(mut bytes: Vec<u8>) -> Self {
        let size_bytes = bytes.len();
        let bom = match bytes.as_slice() {
            [0xEF, 0xBB, 0xBF, ..] => Bom::Utf8,
            [0xFF, 0xFE, ..] => Bom::Utf16Le,
            [0xFE, 0xFF, ..] => Bom::Utf16Be,
            _ => Bom::None,
        };
        match bom {
            Bom::None => {}
            Bom::Utf8 => {
                bytes.drain(..3);
            }
            Bom::Utf16Le => bytes = decode(UTF_16LE, &bytes[2..]),
            Bom::Utf16Be => bytes = decode(UTF_16BE, &bytes[2..]),
        }
        Self {
            unfit: memchr::memchr(0, &bytes).map(|_| Unfit::NulInBuffer),
            bytes,
            bom,
            size_bytes,
        }
    }

    /// The text, if it can be edited as UTF-8 and written back: else the reason why not.
    pub fn editable(&self) -> Result<&str, &'static str> {
        if matches!(self.bom, Bom::Utf16Le | Bom::Utf16Be) {
            return Err("not UTF-8 (UTF-16)");
        }
        if let Some(unfit) = self.unfit {
            return Err(unfit.reason());
        }
        std::str::from_utf8(&self.bytes).map_err(|_| "not UTF-8")
    }

    /// The text, if it can be parsed: else the reason why not.
    pub fn parsable(&self) -> Result<&str, &'static str> {
        if self.bytes.len() > MAX_PARSED_BYTES {
            return Err("too large to be parsed");
        }
        self.editable()
    }

    /// SHA-256 of the bytes as they lie on disk, in hexadecimal; of UTF-16 files, of the
    /// decoded text.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        if self.bom == Bom::Utf8 {
            hash.update(UTF8_MARK);
        }
        hash.update(&self.bytes);
        hex(&hash.finalize())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn decode(encoding: &'static encoding_rs::Encoding, bytes: &[u8]) -> Vec<u8> {
    match encoding.decode_without_bom_handling(bytes).0 {
        Cow::Borrowed(text) => text.as_bytes().to_vec(),
        Cow::Owned(text) => text.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_stripped_and_count_for_the_hash() {
        let text = Text::from_file_bytes(b"\xEF\xBB\xBFx".to_vec());
        assert_eq!(text.bytes, b"x");
        let plain = Text::from_file_bytes(b"x".to_vec());
        assert_ne!(text.sha256(), plain.sha256());
        let wide = Text::from_file_bytes(b"\xFF\xFEh\0i\0".to_vec());
        assert_eq!(wide.bytes, b"hi");
        assert!(wide.editable().is_err());
    }
}
