//! Blocks, whole: written and read again, the RFC's own, those of another implementation, and those
//! that must be refused.

use std::convert::Infallible;

use super::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Malformed> {
    let mut fields = Fields::new();
    let done = decoder.decode(block, |name, value, _| {
        fields.push((name.to_vec(), value.to_vec()));
        Ok::<_, Infallible>(())
    });
    match done {
        Ok(()) => Ok(fields),
        Err(DecodeError::Malformed(malformed)) => Err(malformed),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// SplitMix64 (Vigna, public domain): the same numbers every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ word >> 31) % bound as u64) as usize
    }

    fn text(&mut self, longest: usize) -> Vec<u8> {
        let any = self.below(4) == 0;
        let length = self.below(longest + 1);
        let octet = |numbers: &mut Self| match any {
            true => numbers.below(256) as u8,
            false => b"abcdefghijklmnopqrstuvwxyz-/:;=0123456789 "[numbers.below(42)],
        };
        (0..length).map(|_| octet(self)).collect()
    }

    fn field(&mut self) -> (Vec<u8>, Vec<u8>) {
        match self.below(8) {
            0 => {
                let (name, value) = fixed::FIELDS[self.below(61)];
                (name.to_vec(), value.to_vec())
            }
            1 => (fixed::FIELDS[self.below(61)].0.to_vec(), self.text(60)),
            2 => (format!("x-field-{}", self.below(30)).into_bytes(), self.text(3000)),
            3 => (self.text(20), self.text(200)),
            _ => {
                let name = format!("x-field-{}", self.below(30)).into_bytes();
                (name, format!("value {}", self.below(5)).into_bytes())
            }
        }
    }
}

#[test]
fn what_is_encoded_is_decoded_whatever_the_tables_do() {
    for seed in 0..20 {
        let mut numbers = Numbers(seed);
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(DEFAULT_TABLE));
        let (mut written, mut indexed) = (0, 0);
        for _ in 0..100 {
            for _ in 0..[0, 0, 0, 0, 1, 2, 3][numbers.below(7)] {
                encoder.set_max_table([0, 33, 100, 1000, 4096, 9999][numbers.below(6)]);
            }
            let (mut block, mut sent) = (Vec::new(), Fields::new());
            for _ in 0..numbers.below(20) {
                let (name, value) = numbers.field();
                let indexing = [Indexing::Always, Indexing::Always, Indexing::Without, Indexing::Never];
                let before = block.len();
                encoder.encode(&name, &value, indexing[numbers.below(4)], &mut block);
                written += 1;
                indexed += usize::from(block[before] & 0x80 != 0);
                sent.push((name, value));
            }
            assert_eq!(decode(&mut decoder, &block), Ok(sent));
        }
        assert!(indexed * 20 > written, "the tables are of use: {indexed} of {written}");
    }
}

#[test]
fn a_field_that_was_sent_before_is_one_octet() {
    let mut encoder = Encoder::new();
    let mut first = Vec::new();
    let sent = [("x-one", "1"), ("x-two", "2"), (":method", "GET"), ("accept", "*/*"), ("x-one", "2")];
    for (name, value) in sent {
        encoder.encode(name.as_bytes(), value.as_bytes(), Indexing::Always, &mut first);
    }
    let mut second = Vec::new();
    for (name, value) in sent {
        encoder.encode(name.as_bytes(), value.as_bytes(), Indexing::Always, &mut second);
    }
    assert_eq!(second, [0xc1, 0xc0, 0x82, 0xbf, 0xbe]);
    let mut third = Vec::new();
    encoder.encode(b"x-one", b"1", Indexing::Never, &mut third);
    encoder.encode(b"x-one", b"3", Indexing::Without, &mut third);
    assert_eq!(third, hex("10 84 f2b1ea2f 0131 0f 2f 0133"), "the name is left where it may be kept");
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    for block in [first, second] {
        assert_eq!(decode(&mut decoder, &block), Ok(fields(&sent)));
    }
    assert_eq!(decode(&mut decoder, &third), Ok(fields(&[("x-one", "1"), ("x-one", "3")])));
}

#[test]
fn of_a_field_whose_value_does_not_come_again_the_name_is_kept() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(DEFAULT_TABLE));
    let sent = [("x-id", "aaaa"), ("x-id", "bbbb"), ("x-id", "cccc")];
    let mut blocks = Vec::new();
    for (name, value) in sent {
        let mut block = Vec::new();
        encoder.encode(name.as_bytes(), value.as_bytes(), Indexing::Without, &mut block);
        assert_eq!(decode(&mut decoder, &block), Ok(fields(&[(name, value)])));
        blocks.push(block);
    }
    assert_eq!(blocks[1..], [hex("0f 2f 04 62626262"), hex("0f 2f 04 63636363")]);
}

#[test]
fn the_blocks_of_the_rfc_are_read_and_written_as_there() {
    // RFC 7541, C.4: requests with Huffman text.
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    let mut encoder = Encoder::new();
    let get = |authority, path, scheme, more: &[(&str, &str)]| {
        let mut all =
            fields(&[(":method", "GET"), (":scheme", scheme), (":path", path), (":authority", authority)]);
        all.extend(fields(more));
        all
    };
    for (block, expected) in [
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", get("www.example.com", "/", "http", &[])),
        (
            "8286 84be 5886 a8eb 1064 9cbf",
            get("www.example.com", "/", "http", &[("cache-control", "no-cache")]),
        ),
        (
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            get("www.example.com", "/index.html", "https", &[("custom-key", "custom-value")]),
        ),
    ] {
        assert_eq!(decode(&mut decoder, &hex(block)).as_ref(), Ok(&expected));
        let mut written = Vec::new();
        for (name, value) in &expected {
            encoder.encode(name, value, Indexing::Always, &mut written);
        }
        assert_eq!(written, hex(block));
    }
    // C.2.1 to C.2.4: one field, as plain text; the last leaves nothing in the table.
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    for (block, name, value) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key", "custom-header"),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path"),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret"),
        ("82", ":method", "GET"),
    ] {
        assert_eq!(decode(&mut decoder, &hex(block)), Ok(fields(&[(name, value)])));
    }
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(fields(&[("custom-key", "custom-header")])));
    assert_eq!(decode(&mut decoder, &[0xbf]), Err(Malformed::UnknownIndex));
}

/// Blocks by the Python package `hpack` 4.2.0, in order, on one connection: each a line of hex, then
/// its fields, each a line of hex of the name and of the value.
#[test]
fn the_blocks_of_another_implementation_are_read() {
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    let mut blocks = 0;
    for block in include_str!("tests/blocks_of_python_hpack.txt").split("\n\n") {
        let mut lines = block.lines();
        let bytes = hex(lines.next().unwrap());
        let expected: Fields = lines
            .map(|line| {
                let (name, value) = line.split_once(' ').unwrap();
                (hex(name), hex(value))
            })
            .collect();
        assert_eq!(decode(&mut decoder, &bytes), Ok(expected));
        blocks += 1;
    }
    assert_eq!(blocks, 24);
}

#[test]
fn what_breaks_the_rfc_is_refused_by_its_reason() {
    use Malformed::*;
    for (block, expected) in [
        ("80", IndexZero),
        ("be", UnknownIndex),
        ("ffff00", UnknownIndex),
        ("7e 0161", UnknownIndex),
        ("0f 2f 0161", UnknownIndex),
        ("ff ffffffff7f", IntegerOverflow),
        ("40 7f ffffffff7f", IntegerOverflow),
        ("82 20", SizeUpdateLate),
        ("40 0161 0162 3f00", SizeUpdateLate),
        ("3f e21f", SizeUpdateTooLarge),
        ("ff", Truncated),
        ("40", Truncated),
        ("40 01", Truncated),
        ("40 0161", Truncated),
        ("40 0161 05 6162", Truncated),
        ("44 85 ae", Truncated),
        ("3f", Truncated),
        ("44 84 ffffffff", EndOfString),
        ("44 81 ff", Padding),
        ("44 81 18", Padding),
        ("40 81 ff 0161", Padding),
    ] {
        let mut decoder = Decoder::new(DEFAULT_TABLE);
        assert_eq!(decode(&mut decoder, &hex(block)), Err(expected), "{block}");
        let mut error = Err(DecodeError::Refused(()));
        if block.starts_with("82") {
            // What is refused does not hide what is malformed.
            error = Decoder::new(DEFAULT_TABLE).decode(&hex(block), |_, _, _| Err(()));
            assert_eq!(error, Err(DecodeError::Malformed(expected)));
        }
        assert!(error.is_err());
    }
}

#[test]
fn a_refused_block_still_fills_the_table() {
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    let mut seen = 0;
    let block = hex("82 40 0161 0162 40 0163 0164");
    let done = decoder.decode(&block, |_, _, _| {
        seen += 1;
        if seen == 2 { Err("enough") } else { Ok(()) }
    });
    assert_eq!((done, seen), (Err(DecodeError::Refused("enough")), 2));
    assert_eq!(decode(&mut decoder, &hex("be bf")), Ok(fields(&[("c", "d"), ("a", "b")])));
}

#[test]
fn a_name_is_kept_though_the_entry_it_came_from_is_evicted() {
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    // A table of 40: room for one entry of up to 8 octets.
    let block = hex("3f09 40 04 61626364 04 31323334 7e 02 3536");
    assert_eq!(decode(&mut decoder, &block), Ok(fields(&[("abcd", "1234"), ("abcd", "56")])));
    assert_eq!(decode(&mut decoder, &hex("be")), Ok(fields(&[("abcd", "56")])));
    assert_eq!(decode(&mut decoder, &hex("bf")), Err(Malformed::UnknownIndex));
}

#[test]
fn the_peers_table_may_grow_to_what_was_announced_and_no_further() {
    let mut decoder = Decoder::new(65_536);
    assert_eq!(decode(&mut decoder, &hex("3f e1ff03 82")), Ok(fields(&[(":method", "GET")])));
    assert_eq!(decode(&mut decoder, &hex("3f e2ff03")), Err(Malformed::SizeUpdateTooLarge));
    // Two updates, as after two changes of the setting: the first empties the table.
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    assert_eq!(decode(&mut decoder, &hex("40 0161 0162")), Ok(fields(&[("a", "b")])));
    assert_eq!(decode(&mut decoder, &hex("20 3fe11f")), Ok(vec![]));
    assert_eq!(decode(&mut decoder, &hex("be")), Err(Malformed::UnknownIndex));
}

#[test]
fn the_next_block_tells_of_the_smallest_and_the_final_table_size() {
    let block = |encoder: &mut Encoder| {
        let mut out = Vec::new();
        encoder.encode(b"a", b"b", Indexing::Always, &mut out);
        out
    };
    let mut encoder = Encoder::new();
    encoder.set_max_table(4096);
    encoder.set_max_table(1 << 20);
    assert_eq!(block(&mut encoder), hex("40 0161 0162"), "nothing has changed");
    encoder.set_max_table(0);
    encoder.set_max_table(100);
    assert_eq!(block(&mut encoder), hex("20 3f45 40 0161 0162"));
    assert_eq!(block(&mut encoder), hex("be"));
    encoder.set_max_table(10);
    assert_eq!(block(&mut encoder), hex("2a 00 0161 0162"), "too large for the table");
    encoder.set_max_table(4096);
    assert_eq!(block(&mut encoder), hex("3fe11f 40 0161 0162"));
}
