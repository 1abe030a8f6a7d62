//! Where something stands in a text, counted as editors count.

/// A place in a text: all 1-based; columns count characters and UTF-16 units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub utf16_column: usize,
}

/// Finds places of ascending byte offsets in one pass over the text.
#[derive(Clone)]
pub struct Locator<'a> {
    bytes: &'a [u8],
    at: usize,
    line_start: usize,
    place: Place,
}

impl<'a> Locator<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::from_line(bytes, 1)
    }

    /// In a part of a text that begins with this line.
    pub fn from_line(bytes: &'a [u8], line: usize) -> Self {
        Self {
            bytes,
            at: 0,
            line_start: 0,
            place: Place {
                line,
                column: 1,
                utf16_column: 1,
            },
        }
    }

    /// The place of a byte offset; offsets may go back within the current line only.
    pub fn place(&mut self, offset: usize) -> Place {
        if offset < self.at {
            let (column, utf16_column) = columns(&self.bytes[self.line_start.min(offset)..offset]);
            return Place {
                column,
                utf16_column,
                ..self.place
            };
        }
        let passed = &self.bytes[self.at..offset];
        let mut tail = passed;
        let place = &mut self.place;
        if let Some(newline) = memchr::memrchr(b'\n', passed) {
            place.line += memchr::memchr_iter(b'\n', passed).count();
            (place.column, place.utf16_column) = (1, 1);
            self.line_start = self.at + newline + 1;
            tail = &passed[newline + 1..];
        }
        let (column, utf16_column) = columns(tail);
        place.column += column - 1;
        place.utf16_column += utf16_column - 1;
        self.at = offset;
        *place
    }
}

/// The 1-based columns after `before`, the part of a line: in characters, in UTF-16 units.
fn columns(before: &[u8]) -> (usize, usize) {
    if before.is_ascii() {
        return (before.len() + 1, before.len() + 1);
    }
    match std::str::from_utf8(before) {
        Ok(text) => (
            count_chars(text.as_bytes()) + 1,
            text.as_bytes()
                .iter()
                .map(|&b| usize::from(b & 0xC0 != 0x80) + usize::from(b >= 0xF0))
                .sum::<usize>()
                + 1,
        ),
        Err(_) => {
            let lossy = String::from_utf8_lossy(before);
            (lossy.chars().count() + 1, lossy.encode_utf16().count() + 1)
        }
    }
}

/// Code points in valid UTF-8.
pub fn count_chars(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b & 0xC0 != 0x80).count()
}

/// Turns ascending byte offsets into code-point offsets in one pass.
pub struct CharCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    chars: usize,
}

impl<'a> CharCounter<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
            chars: 0,
        }
    }

    pub fn chars_before(&mut self, offset: usize) -> usize {
        self.chars += count_chars(&self.bytes[self.at..offset]);
        self.at = offset;
        self.chars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize, utf16_column: usize) -> Place {
        Place {
            line,
            column,
            utf16_column,
        }
    }

    #[test]
    fn places_count_characters_and_utf16_units() {
        let text = "a\nü𝄞x\n";
        let mut locator = Locator::new(text.as_bytes());
        let at = text.find('x').unwrap();
        assert_eq!(locator.place(at), place(2, 3, 4));
        assert_eq!(locator.place(at - '𝄞'.len_utf8()), place(2, 2, 2));
        assert_eq!(locator.place(at), place(2, 3, 4));
        assert_eq!(locator.place(text.len()), place(3, 1, 1));
    }

    #[test]
    fn places_found_one_by_one_are_those_found_at_once() {
        let text = "a\nü𝄞x\n\né";
        let mut locator = Locator::from_line(text.as_bytes(), 7);
        for (at, _) in text.char_indices() {
            let at_once = Locator::from_line(text.as_bytes(), 7).place(at);
            assert_eq!(locator.place(at), at_once);
        }
    }
}
