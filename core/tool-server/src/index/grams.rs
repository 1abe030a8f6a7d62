//! Which sequences of bytes a text may have: a small signature of each text.
//!
//! The idea is Russ Cox's trigram index ("Regular Expression Matching with a Trigram Index",
//! 2012), with one Bloom filter a file instead of posting lists: a changed file costs its own
//! signature only. ASCII letters are folded, so that one signature serves both cases. A large text
//! has most sequences of three bytes somewhere, so its signature holds those of six, too. What a
//! signature lets pass, the real matcher confirms.

const MIN_BITS_LOG2: u32 = 9;
const MAX_BITS_LOG2: u32 = 22;
/// Texts from this size on have sequences of six bytes in their signatures.
const LARGE_BYTES: usize = 64 << 10;
pub const SHORT: usize = 3;
const LONG: usize = 6;
/// Tells a long sequence from a short one that begins with zeros.
const LONG_MARK: u64 = 1 << 48;

/// The signature of one text.
pub struct Grams {
    bits: Box<[u64]>,
    shift: u32,
    ascii: bool,
    large: bool,
}

/// Multiplicative hashing (Knuth): the highest bits of the product.
fn slot(gram: u64, shift: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize
}

impl Grams {
    /// Takes about one bit for two bytes of text; for a large text, one for each byte.
    pub fn of(text: &[u8]) -> Self {
        let large = text.len() >= LARGE_BYTES;
        let wanted = if large { text.len() } else { text.len() / 2 };
        let log2 = wanted
            .next_power_of_two()
            .trailing_zeros()
            .clamp(MIN_BITS_LOG2, MAX_BITS_LOG2);
        let shift = 64 - log2;
        let mut bits = vec![0u64; 1 << (log2 - 6)].into_boxed_slice();
        let mut window = 0u64;
        for (at, byte) in text.iter().enumerate() {
            window = (window << 8 | u64::from(byte.to_ascii_lowercase())) & (LONG_MARK - 1);
            if at + 1 >= SHORT {
                let slot = slot(window & 0x00FF_FFFF, shift);
                bits[slot >> 6] |= 1 << (slot & 63);
            }
            if large && at + 1 >= LONG {
                let slot = slot(window | LONG_MARK, shift);
                bits[slot >> 6] |= 1 << (slot & 63);
            }
        }
        Self {
            bits,
            shift,
            ascii: text.is_ascii(),
            large,
        }
    }

    pub fn size_bytes(&self) -> usize {
        self.bits.len() * 8 + size_of::<Self>()
    }

    /// Whether the text may have a sequence.
    pub fn has(&self, gram: u64) -> bool {
        if gram & LONG_MARK != 0 && !self.large {
            return true;
        }
        let slot = slot(gram, self.shift);
        self.bits[slot >> 6] & (1 << (slot & 63)) != 0
    }

    /// Whether all of the text is ASCII.
    pub fn is_ascii(&self) -> bool {
        self.ascii
    }
}

/// The sequences of a run of bytes, long ones first: few texts have them.
pub fn sequences(run: &[u8]) -> Vec<u64> {
    let fold = |window: &[u8]| {
        window
            .iter()
            .fold(0, |gram, b| gram << 8 | u64::from(b.to_ascii_lowercase()))
    };
    let long = run.windows(LONG).map(|window| fold(window) | LONG_MARK);
    long.chain(run.windows(SHORT).map(fold)).collect()
}
