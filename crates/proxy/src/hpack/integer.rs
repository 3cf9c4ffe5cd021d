//! Integers with a prefix (RFC 7541, 5.1).

use super::Malformed;

/// Octets that may follow the prefix: enough for 32 bits.
const MAX_OCTETS: u32 = 5;

/// Takes an integer off `rest`, the first octet of which has it in its low `prefix` bits (1..=8).
/// A `rest` that is empty is truncated.
///
/// "Integer encodings that exceed implementation limits -- in value or octet length -- MUST be
/// treated as decoding errors."
pub(super) fn decode(rest: &mut &[u8], prefix: u32) -> Result<usize, Malformed> {
    let (&first, mut tail) = rest.split_first().ok_or(Malformed::Truncated)?;
    let mask = u8::MAX >> (8 - prefix);
    let mut value = u64::from(first & mask);
    if first & mask == mask {
        let mut shift = 0;
        loop {
            let (&octet, after) = tail.split_first().ok_or(Malformed::Truncated)?;
            tail = after;
            value += u64::from(octet & 0x7f) << shift;
            shift += 7;
            if octet & 0x80 == 0 {
                break;
            }
            if shift == 7 * MAX_OCTETS {
                return Err(Malformed::IntegerOverflow);
            }
        }
        if value > u64::from(u32::MAX) {
            return Err(Malformed::IntegerOverflow);
        }
    }
    *rest = tail;
    Ok(value as usize)
}

/// Appends `value` with a prefix of `prefix` bits; `flags` are the bits above them.
pub(super) fn encode(mut value: usize, prefix: u32, flags: u8, out: &mut Vec<u8>) {
    let mask = usize::from(u8::MAX >> (8 - prefix));
    if value < mask {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_as_they_were_written() {
        for prefix in 1..=8 {
            for value in [0, 1, 9, 10, 30, 31, 126, 127, 128, 254, 255, 256, 1337, 65_535, 0xffff_ffff] {
                let mut bytes = Vec::new();
                encode(value, prefix, 0, &mut bytes);
                bytes.push(0xaa);
                let mut rest = &bytes[..];
                assert_eq!(decode(&mut rest, prefix), Ok(value), "{prefix} {value}");
                assert_eq!(rest, [0xaa]);
                for cut in 0..bytes.len() - 1 {
                    assert_eq!(decode(&mut &bytes[..cut], prefix), Err(Malformed::Truncated));
                }
            }
        }
    }

    #[test]
    fn the_integers_of_the_rfc_are_written_as_there() {
        // RFC 7541, C.1.
        for (value, prefix, expected) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])]
        {
            let mut bytes = Vec::new();
            encode(value, prefix, 0, &mut bytes);
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn integers_too_large_or_too_long_are_refused() {
        let large = [0xff, 0x80, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(decode(&mut &large[..], 7), Ok(0x7f + 0xffff_ff80));
        for bytes in [
            [0xff, 0x81, 0xff, 0xff, 0xff, 0x0f],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            [0xff, 0x80, 0x80, 0x80, 0x80, 0x80],
        ] {
            assert_eq!(decode(&mut &bytes[..], 7), Err(Malformed::IntegerOverflow), "{bytes:x?}");
        }
        // Zeros to no effect are allowed, as long as they are few.
        assert_eq!(decode(&mut &[0xff, 0x80, 0x80, 0x80, 0x80, 0x00][..], 7), Ok(127));
    }
}
