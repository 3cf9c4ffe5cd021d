//! HPACK (RFC 7541): the header blocks of HTTP/2, read strictly and written small. No I/O.
//!
//! Nothing is allocated for a field. The [`Decoder`] hands each one out as borrowed bytes: of the
//! block itself, of its table, or of a buffer that Huffman text is unpacked into, which is no larger
//! than 8/5 of the block. Tables never hold more than RFC 7541 lets them (4.1), in at most twice as
//! much memory, taken as it is needed.
//!
//! A block is one whole header block: what HEADERS or PUSH_PROMISE and its CONTINUATION frames carry,
//! joined. Blocks must be decoded in the order they came, all of them. When an [`Encoder`] has to tell
//! of a new size of its table it does so with the first field after
//! [`set_max_table`](Encoder::set_max_table), so that must not be called in the middle of a block.
//! Names are bytes here: that they are lower-case, and whether a list of fields is too long, is for
//! the caller to say.

mod decoder;
mod encoder;
mod fixed;
mod huffman;
mod integer;
mod table;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::{Encoder, Indexing};

/// The size of both tables until somebody says otherwise (RFC 9113, 6.5.2), in bytes as RFC 7541
/// counts them: those of name and value, and 32 for each entry.
pub const DEFAULT_TABLE: usize = 4096;

/// Why a block was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError<E> {
    /// The caller refused a field. The block has been read to its end: the next one can be decoded.
    Refused(E),
    /// The block breaks RFC 7541; nothing more can be decoded. A connection error COMPRESSION_ERROR.
    Malformed(Malformed),
}

impl<E> From<Malformed> for DecodeError<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// How a block breaks RFC 7541.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the header block ends within a field")]
    Truncated,
    #[error("an integer is above 2^32 - 1 or longer than six octets")]
    IntegerOverflow,
    #[error("a field has index 0")]
    IndexZero,
    #[error("a field's index is beyond the table")]
    UnknownIndex,
    #[error("a table size update does not stand at the beginning of the block")]
    SizeUpdateLate,
    #[error("a table size update is above what was announced")]
    SizeUpdateTooLarge,
    #[error("Huffman text contains the end-of-string symbol")]
    EndOfString,
    #[error("Huffman text does not end in up to seven one bits")]
    Padding,
}
