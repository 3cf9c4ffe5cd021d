//! The dynamic table of either side (RFC 7541, 2.3.2 and 4).

use std::collections::VecDeque;

/// What an entry counts beside the bytes of its name and value (4.1).
const OVERHEAD: usize = 32;

/// Entries, oldest out first. Their bytes stand one after another in one buffer of at most twice the
/// table's limit: what is evicted stays until the buffer is full, then the rest moves to its front.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// Bytes that have ever been moved out of the front of `bytes`.
    gone: usize,
    /// The newest is last.
    entries: VecDeque<Entry>,
    /// As RFC 7541 counts it.
    size: usize,
    limit: usize,
    /// Entries ever inserted, modulo 2^32.
    inserted: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where it begins, counted from the first byte that ever stood in the table.
    at: usize,
    name: u32,
    value: u32,
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), gone: 0, entries: VecDeque::new(), size: 0, limit, inserted: 0 }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many entries have ever been inserted, modulo 2^32.
    pub(super) fn inserted(&self) -> u32 {
        self.inserted
    }

    /// The name and value of an entry; the newest is 0.
    pub(super) fn get(&self, age: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(self.entries.len().checked_sub(age + 1)?)?;
        let (name, value) = (entry.name as usize, entry.value as usize);
        self.bytes.get(entry.at - self.gone..)?.get(..name + value)?.split_at_checked(name)
    }

    /// Whether an entry would have room in an empty table.
    pub(super) fn may_hold(&self, name: &[u8], value: &[u8]) -> bool {
        name.len() + value.len() + OVERHEAD <= self.limit
    }

    /// "It is not an error to attempt to add an entry that is larger than the maximum size; an attempt
    /// to add an entry larger than the maximum size causes the table to be emptied" (4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        if !self.may_hold(name, value) {
            return self.clear();
        }
        let length = name.len() + value.len();
        self.evict(self.limit - length - OVERHEAD);
        self.make_room(length);
        let at = self.gone + self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push_back(Entry { at, name: name.len() as u32, value: value.len() as u32 });
        self.size += length + OVERHEAD;
        self.inserted = self.inserted.wrapping_add(1);
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
    }

    /// Takes entries out until the table is no larger than `size`.
    fn evict(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= (entry.name + entry.value) as usize + OVERHEAD;
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    /// Makes room in the buffer for `length` bytes more.
    fn make_room(&mut self, length: usize) {
        let bound = self.limit * 2;
        if self.bytes.len() + length > bound {
            let first = self.entries.front().map_or(self.gone + self.bytes.len(), |entry| entry.at);
            self.bytes.drain(..first - self.gone);
            self.gone = first;
        }
        let needed = self.bytes.len() + length;
        if needed > self.bytes.capacity() {
            let capacity = needed.next_power_of_two().min(bound);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_make_room_for_the_newest() {
        let mut table = Table::new(3 * (2 + OVERHEAD));
        for value in b'a'..=b'z' {
            table.insert(b"n", &[value]);
            for (age, expected) in (b'a'..=value).rev().enumerate() {
                let expected = (age < 3).then_some((&b"n"[..], [expected]));
                assert_eq!(table.get(age), expected.as_ref().map(|(name, value)| (*name, &value[..])));
            }
        }
        table.set_limit(2 + OVERHEAD);
        assert_eq!((table.get(0), table.get(1)), (Some((&b"n"[..], &b"z"[..])), None));
        table.insert(b"nn", b"z");
        assert_eq!(table.get(0), None, "what is too large empties the table");
    }

    #[test]
    fn the_buffer_stays_within_twice_the_limit() {
        let mut table = Table::new(1000);
        for round in 0..2000_usize {
            let value = vec![round as u8; round * 37 % 900];
            table.insert(b"name", &value);
            assert_eq!(table.get(0), Some((&b"name"[..], &value[..])));
            assert!(table.size <= 1000);
            assert!(table.bytes.capacity() <= 2000, "{}", table.bytes.capacity());
            let sum: usize = table.entries.iter().map(|e| (e.name + e.value) as usize + OVERHEAD).sum();
            assert_eq!(table.size, sum);
        }
    }
}
