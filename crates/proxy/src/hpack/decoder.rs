//! Header blocks, read.

use std::ops::Range;

use super::table::Table;
use super::{DEFAULT_TABLE, DecodeError, Malformed, fixed, huffman, integer};

/// A buffer for unpacked text that has grown beyond this is not kept from one block to the next.
const KEPT: usize = 16 * 1024;

/// One side's reader: the table its peer's blocks refer to.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// No update may ask for a larger table.
    bound: usize,
    unpacked: Unpacked,
}

impl Decoder {
    /// `max_table`, in bytes: the SETTINGS_HEADER_TABLE_SIZE that was announced. The table begins
    /// with [`DEFAULT_TABLE`], as every peer's does. Less than that is taken for it: a smaller bound
    /// could hold only from the acknowledgement of the setting on.
    pub fn new(max_table: usize) -> Self {
        let (table, unpacked) = (Table::new(DEFAULT_TABLE), Unpacked::default());
        Self { table, bound: max_table.max(DEFAULT_TABLE), unpacked }
    }

    /// Hands each field of a whole header block to `field`, in order: its name, its value, and whether it was never to
    /// be indexed, which whoever passes it on has to say again (6.2.3).
    ///
    /// # Errors
    /// [`DecodeError::Refused`]: the first error of `field`, which then saw no more of the block; it
    /// was decoded to its end, so the connection may go on. [`DecodeError::Malformed`]: the
    /// connection must end, whatever `field` said.
    pub fn decode<E>(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8], bool) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        let mut refused = None;
        let done = self.fields(block, |name, value, never_indexed| {
            if refused.is_none() {
                refused = field(name, value, never_indexed).err();
            }
        });
        self.unpacked.shrink();
        done?;
        refused.map_or(Ok(()), |error| Err(DecodeError::Refused(error)))
    }

    fn fields(&mut self, block: &[u8], mut field: impl FnMut(&[u8], &[u8], bool)) -> Result<(), Malformed> {
        let Self { table, bound, unpacked } = self;
        let mut rest = block;
        let mut begun = false;
        while let Some(&first) = rest.first() {
            // 6.1: an indexed field.
            if first & 0x80 != 0 {
                let (name, value) = find(table, integer::decode(&mut rest, 7)?)?;
                field(name, value, false);
                begun = true;
                continue;
            }
            // 6.3: "This dynamic table size update MUST occur at the beginning of the first header
            // block following the change" (4.2).
            if first & 0xe0 == 0x20 {
                let limit = integer::decode(&mut rest, 5)?;
                if begun {
                    return Err(Malformed::SizeUpdateLate);
                }
                if limit > *bound {
                    return Err(Malformed::SizeUpdateTooLarge);
                }
                table.set_limit(limit);
                continue;
            }
            // 6.2: a literal, to be kept or not.
            let kept = first & 0x40 != 0;
            unpacked.used = 0;
            let name = match integer::decode(&mut rest, if kept { 6 } else { 4 })? {
                0 => text(&mut rest, unpacked)?,
                index => match fixed::FIELDS.get(index - 1) {
                    Some((name, _)) => Text::Plain(name),
                    // Copied: the entry may be evicted when this one is inserted.
                    None => unpacked.copy(find(table, index)?.0),
                },
            };
            let value = text(&mut rest, unpacked)?;
            let (name, value) = (name.of(unpacked), value.of(unpacked));
            field(name, value, first & 0xf0 == 0x10);
            if kept {
                table.insert(name, value);
            }
            begun = true;
        }
        Ok(())
    }
}

/// The field at `index` of the two tables (2.3.3).
fn find(table: &Table, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
    let index = index.checked_sub(1).ok_or(Malformed::IndexZero)?;
    match fixed::FIELDS.get(index) {
        Some(&field) => Ok(field),
        None => table.get(index - fixed::FIELDS.len()).ok_or(Malformed::UnknownIndex),
    }
}

/// A string literal (5.2).
fn text<'b>(rest: &mut &'b [u8], unpacked: &mut Unpacked) -> Result<Text<'b>, Malformed> {
    let is_huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::decode(rest, 7)?;
    let (text, tail) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
    *rest = tail;
    if is_huffman { unpacked.unpack(text) } else { Ok(Text::Plain(text)) }
}

/// Where a string is while its field is looked at.
enum Text<'b> {
    Plain(&'b [u8]),
    Unpacked(Range<usize>),
}

impl Text<'_> {
    fn of<'a>(&'a self, unpacked: &'a Unpacked) -> &'a [u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Unpacked(range) => &unpacked.bytes[range.clone()],
        }
    }
}

/// Text of one field that does not stand in the block as it is.
#[derive(Debug, Default)]
struct Unpacked {
    /// As long as it has ever had to be, so that it need not be cleared.
    bytes: Vec<u8>,
    used: usize,
}

impl Unpacked {
    fn unpack<'b>(&mut self, text: &[u8]) -> Result<Text<'b>, Malformed> {
        let start = self.used;
        let most = huffman::decoded_bound(text.len());
        let length = huffman::decode(text, self.room(most))?;
        self.used = start + length;
        Ok(Text::Unpacked(start..self.used))
    }

    fn copy<'b>(&mut self, text: &[u8]) -> Text<'b> {
        let start = self.used;
        self.room(text.len())[..text.len()].copy_from_slice(text);
        self.used += text.len();
        Text::Unpacked(start..self.used)
    }

    /// At least `length` bytes after those that are used.
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < self.used + length {
            self.bytes.resize(self.used + length, 0);
        }
        &mut self.bytes[self.used..]
    }

    fn shrink(&mut self) {
        if self.bytes.len() > KEPT {
            self.bytes = Vec::new();
        }
    }
}
