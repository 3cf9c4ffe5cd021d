//! The Huffman code of RFC 7541 (5.2 and appendix B).
//!
//! The code is canonical: within a length, codes are in the order of their symbols, and shorter ones
//! come first. So the lengths say everything; the tables here are computed from them when this is
//! compiled.

use super::Malformed;

/// Bits of the code of each octet, and of the end of a string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];
const SHORTEST: u32 = 5;
const LONGEST: u32 = 30;
const END: u16 = 256;

/// The code, computed.
struct Canonical {
    /// The code of each symbol, in its low bits.
    codes: [u32; 257],
    /// Symbols ordered by code.
    order: [u16; 257],
    /// For each length its first code, and where in the order that is.
    first: [u32; LONGEST as usize + 1],
    start: [u16; LONGEST as usize + 1],
    /// What is below this, as the top bits of a word, has a code no longer than this.
    above: [u64; LONGEST as usize + 1],
}

const CANONICAL: Canonical = {
    let mut this = Canonical {
        order: [0; 257],
        above: [0; LONGEST as usize + 1],
        first: [0; LONGEST as usize + 1],
        start: [0; LONGEST as usize + 1],
        codes: [0; 257],
    };
    let (mut code, mut placed, mut length) = (0_u32, 0, SHORTEST as usize);
    while length <= LONGEST as usize {
        this.first[length] = code;
        this.start[length] = placed;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                this.order[placed as usize] = symbol as u16;
                this.codes[symbol] = code;
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        // The last code of all is all ones: one more does not fit a word.
        this.above[length] =
            if length == LONGEST as usize { u64::MAX } else { (code as u64) << (64 - length) };
        code <<= 1;
        length += 1;
    }
    this
};

static CODES: Canonical = CANONICAL;

/// Bits looked up at once: room for two of the most common symbols.
const STEP: u32 = 11;

/// What the next bits stand for.
#[derive(Clone, Copy)]
struct Entry {
    text: [u8; 2],
    /// Of `text`: 1 or 2; 0 when the code is longer than a step.
    symbols: u8,
    /// Bits that they take; more than there can be when the code is longer than a step.
    bits: u8,
}

static STEPS: [Entry; 1 << STEP] = {
    let mut steps = [Entry { text: [0; 2], symbols: 0, bits: u8::MAX }; 1 << STEP];
    let mut first = 0;
    while first < 256 {
        let length = LENGTHS[first] as u32;
        if length <= STEP {
            let left = STEP - length;
            let at = (CANONICAL.codes[first] as usize) << left;
            let mut rest = 0;
            while rest < 1 << left {
                steps[at + rest] = Entry { text: [first as u8, 0], symbols: 1, bits: length as u8 };
                rest += 1;
            }
            let mut second = 0;
            while second < 256 {
                let both = LENGTHS[second] as u32;
                if both <= left {
                    let left = left - both;
                    let at = at + ((CANONICAL.codes[second] as usize) << left);
                    let entry =
                        Entry { text: [first as u8, second as u8], symbols: 2, bits: (length + both) as u8 };
                    let mut rest = 0;
                    while rest < 1 << left {
                        steps[at + rest] = entry;
                        rest += 1;
                    }
                }
                second += 1;
            }
        }
        first += 1;
    }
    steps
};

/// How much room [`decode`] wants for a text of so many bytes: no code is shorter than five bits,
/// and two bytes are written at a time.
pub(super) fn decoded_bound(length: usize) -> usize {
    length * 8 / SHORTEST as usize + 1
}

/// Unpacks `text` into `out`, which is [`decoded_bound`] long; tells the length.
pub(super) fn decode(text: &[u8], out: &mut [u8]) -> Result<usize, Malformed> {
    let mut rest = text;
    let mut length = 0;
    // Bits not yet used, from the top; zeros below them.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        if count < LONGEST {
            if let Some((word, tail)) = rest.split_first_chunk::<4>() {
                bits |= u64::from(u32::from_be_bytes(*word)) << (32 - count);
                count += 32;
                rest = tail;
            } else {
                while count <= 56
                    && let Some((&byte, tail)) = rest.split_first()
                {
                    bits |= u64::from(byte) << (56 - count);
                    count += 8;
                    rest = tail;
                }
            }
        }
        let entry = STEPS[(bits >> (64 - STEP)) as usize];
        if u32::from(entry.bits) <= count {
            out[length..length + 2].copy_from_slice(&entry.text);
            length += usize::from(entry.symbols);
            bits <<= entry.bits;
            count -= u32::from(entry.bits);
            continue;
        }
        // A long code, or the end.
        let (symbol, taken) = longest(bits);
        if taken > count {
            break;
        }
        if symbol == END {
            return Err(Malformed::EndOfString);
        }
        out[length] = symbol as u8;
        length += 1;
        bits <<= taken;
        count -= taken;
    }
    // "A padding strictly longer than 7 bits MUST be treated as a decoding error. A padding not
    // corresponding to the most significant bits of the code for the EOS symbol MUST be treated as a
    // decoding error."
    if count > 7 || bits != !(u64::MAX >> count) {
        return Err(Malformed::Padding);
    }
    Ok(length)
}

/// The symbol that the top of `bits` is the code of, and how long it is.
fn longest(bits: u64) -> (u16, u32) {
    let mut length = SHORTEST;
    while length < LONGEST && bits >= CODES.above[length as usize] {
        length += 1;
    }
    let place = (bits >> (64 - length)) as u32 - CODES.first[length as usize];
    (CODES.order[usize::from(CODES.start[length as usize]) + place as usize], length)
}

/// How long `text` is when packed.
pub(super) fn encoded_length(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum();
    bits.div_ceil(8)
}

/// Appends `text`, packed.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    // Bits not yet written, from the bottom; never as many as 32 between two symbols.
    let (mut bits, mut count) = (0_u64, 0_u32);
    for &byte in text {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        bits = bits << length | u64::from(CODES.codes[usize::from(byte)]);
        count += length;
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    while count >= 8 {
        count -= 8;
        out.push((bits >> count) as u8);
    }
    if count > 0 {
        // The rest of the last octet is ones.
        out.push((bits << (8 - count)) as u8 | u8::MAX >> count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        assert_eq!(out.len(), encoded_length(text));
        out
    }

    fn unpacked(text: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = vec![0; decoded_bound(text.len())];
        let length = decode(text, &mut out)?;
        out.truncate(length);
        Ok(out)
    }

    /// A string of ones and zeros, filled up with zeros.
    fn bits(text: &str) -> Vec<u8> {
        let text: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
        let octet =
            |bits: &[u8]| (0..8).fold(0, |octet, at| octet << 1 | (bits.get(at).unwrap_or(&b'0') - b'0'));
        text.chunks(8).map(octet).collect()
    }

    #[test]
    fn every_pair_of_octets_comes_back() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let text = [first, second];
                assert_eq!(unpacked(&packed(&text)).as_deref(), Ok(&text[..]));
            }
        }
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(unpacked(&packed(&all)).as_deref(), Ok(&all[..]));
        assert_eq!(unpacked(b"").as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn every_length_of_the_shortest_and_of_the_longest_codes_comes_back() {
        for length in 0..100 {
            for octet in *b"0a:&\\\n\x16" {
                let text = vec![octet; length];
                assert_eq!(unpacked(&packed(&text)).as_deref(), Ok(&text[..]));
            }
        }
    }

    #[test]
    fn the_texts_of_the_rfc_are_packed_as_there() {
        // RFC 7541, C.4.1 and C.6.1.
        assert_eq!(
            packed(b"www.example.com"),
            [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]
        );
        assert_eq!(packed(b"302"), [0x64, 0x02]);
        assert_eq!(packed(b"private"), [0xae, 0xc3, 0x77, 0x1a, 0x4b]);
    }

    #[test]
    fn padding_is_up_to_seven_ones_and_nothing_else() {
        // "0" is 00000, "a" 00011, ":" 1011100.
        assert_eq!(unpacked(&bits("00011 111")).as_deref(), Ok(&b"a"[..]));
        assert_eq!(unpacked(&bits("00011 00000 111111")).as_deref(), Ok(&b"a0"[..]));
        assert_eq!(unpacked(&bits("1011100 1")).as_deref(), Ok(&b":"[..]));
        for text in
            ["00011 000", "00011 110", "00011 111 11111111", "11111111", "1011100 0", "00011 00000 111110"]
        {
            assert_eq!(unpacked(&bits(text)), Err(Malformed::Padding), "{text}");
        }
    }

    #[test]
    fn the_end_of_string_symbol_is_refused() {
        let end = "1".repeat(30);
        for text in [format!("{end}11"), format!("00011{end}11111"), format!("{end}00011 11111")] {
            assert_eq!(unpacked(&bits(&text)), Err(Malformed::EndOfString), "{text}");
        }
    }
}
