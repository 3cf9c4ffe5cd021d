//! Header blocks, written.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::table::Table;
use super::{DEFAULT_TABLE, fixed, huffman, integer};

/// No more than this of a peer's table is used, in bytes, however much it offers.
const MOST: usize = DEFAULT_TABLE;

/// What the peer, and whoever comes after it, is to do with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexing {
    /// Keep it in the table: it is likely to come again. One that would not fit goes
    /// [`Without`](Self::Without).
    Always,
    /// Leave the table as it is: its value is not likely to come again. Only a name that no table has
    /// is put there, once, with the value it came with. The value is not packed either: that takes
    /// longer than it saves.
    Without,
    /// Never put it in any table: guessing it from sizes of blocks must not work (RFC 7541, 7.1.3).
    Never,
}

/// One side's writer: the table its blocks refer to.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// The smallest size the table has had since a block last told the peer of its size.
    untold: Option<usize>,
    /// Made with the table's first entry.
    recent: Option<Box<Recent>>,
}

/// For hashes of fields and of names, which entry of the table was the last that had it. Two that
/// share a slot make the block larger and nothing else.
#[derive(Debug)]
struct Recent {
    whole: [u32; 256],
    names: [u32; 64],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// A table of [`DEFAULT_TABLE`], as every peer begins with.
    pub fn new() -> Self {
        Self { table: Table::new(MOST), untold: None, recent: None }
    }

    /// Obeys the peer's SETTINGS_HEADER_TABLE_SIZE, in bytes; more than [`DEFAULT_TABLE`] changes
    /// nothing. Not to be called between two fields of a block.
    pub fn set_max_table(&mut self, peers_setting: usize) {
        let limit = peers_setting.min(MOST);
        if limit != self.table.limit() {
            self.table.set_limit(limit);
            self.untold = Some(self.untold.map_or(limit, |least| least.min(limit)));
        }
    }

    /// Appends one field to the block in `out`.
    pub fn encode(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        if let Some(least) = self.untold.take() {
            self.tell_size(least, out);
        }
        let fixed = fixed::name(name);
        if indexing == Indexing::Never {
            return literal(fixed.unwrap_or(0), 4, 0x10, name, value, out);
        }
        if let Some(index) = fixed.and_then(|first| fixed::whole(first, value)) {
            return integer::encode(index, 7, 0x80, out);
        }
        if indexing == Indexing::Without
            && let Some(index) = fixed.or_else(|| self.find_name(&Slots::of(name, b""), name))
        {
            integer::encode(index, 4, 0, out);
            return plain(value, out);
        }
        if !self.table.may_hold(name, value) {
            let index = fixed.or_else(|| self.find_name(&Slots::of(name, b""), name));
            return literal(index.unwrap_or(0), 4, 0, name, value, out);
        }
        let slots = Slots::of(name, value);
        if let Some(index) = self.find_whole(&slots, name, value) {
            return integer::encode(index, 7, 0x80, out);
        }
        let index = fixed.or_else(|| self.find_name(&slots, name));
        literal(index.unwrap_or(0), 6, 0x40, name, value, out);
        self.table.insert(name, value);
        let recent = self.recent.get_or_insert_with(|| Box::new(Recent { whole: [0; 256], names: [0; 64] }));
        recent.whole[slots.whole] = self.table.inserted();
        recent.names[slots.name] = self.table.inserted();
    }

    /// "If the maximum size changes more than once between two blocks, the smallest that occurs in
    /// that interval MUST be signaled ... The final maximum size is always signaled" (4.2).
    fn tell_size(&self, least: usize, out: &mut Vec<u8>) {
        if least < self.table.limit() {
            integer::encode(least, 5, 0x20, out);
        }
        integer::encode(self.table.limit(), 5, 0x20, out);
    }

    fn find_whole(&self, slots: &Slots, name: &[u8], value: &[u8]) -> Option<usize> {
        let age = self.age(self.recent.as_ref()?.whole[slots.whole]);
        (self.table.get(age)? == (name, value)).then_some(fixed::FIELDS.len() + 1 + age)
    }

    fn find_name(&self, slots: &Slots, name: &[u8]) -> Option<usize> {
        let age = self.age(self.recent.as_ref()?.names[slots.name]);
        (self.table.get(age)?.0 == name).then_some(fixed::FIELDS.len() + 1 + age)
    }

    /// How many entries have come after the one that was inserted as the `number`th. It may be gone,
    /// and a number that means nothing may find some other entry: whoever asks compares.
    fn age(&self, number: u32) -> usize {
        self.table.inserted().wrapping_sub(number) as usize
    }
}

/// Where in [`Recent`] a field is.
struct Slots {
    whole: usize,
    name: usize,
}

impl Slots {
    fn of(name: &[u8], value: &[u8]) -> Self {
        let mut hasher = FxHasher::default();
        hasher.write(name);
        let name = (hasher.finish() % 64) as usize;
        hasher.write(value);
        Self { whole: (hasher.finish() % 256) as usize, name }
    }
}

/// A field that is not in a table, though its name may be, at `index`; 0 when it is not.
fn literal(index: usize, prefix: u32, flags: u8, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    integer::encode(index, prefix, flags, out);
    if index == 0 {
        text(name, out);
    }
    text(value, out);
}

/// A string literal (5.2), packed if that makes it shorter.
fn text(text: &[u8], out: &mut Vec<u8>) {
    let packed = huffman::encoded_length(text);
    if packed < text.len() {
        integer::encode(packed, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        plain(text, out);
    }
}

/// A string literal as it is.
fn plain(text: &[u8], out: &mut Vec<u8>) {
    integer::encode(text.len(), 7, 0, out);
    out.extend_from_slice(text);
}
