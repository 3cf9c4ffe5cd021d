//! The static table (RFC 7541, appendix A).

/// What index 1 and those after it stand for.
pub(super) const FIELDS: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Where names are: no two of them have the same slot. Of fields with the same name, the first.
const SLOTS: [u8; 128] = {
    let mut slots = [0; 128];
    let mut index = FIELDS.len();
    while index > 0 {
        slots[slot(FIELDS[index - 1].0)] = index as u8;
        index -= 1;
    }
    slots
};

/// `name` is not empty. The multiplier was found by trying; the test below finds every name.
const fn slot(name: &[u8]) -> usize {
    let (length, first, middle, last) = (name.len(), name[0], name[name.len() / 2], name[name.len() - 1]);
    let key = u32::from_le_bytes([first, last, middle, length as u8]);
    (key.wrapping_mul(0x50ba_7317) >> 25) as usize
}

/// The first index with this name.
pub(super) fn name(name: &[u8]) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let index = usize::from(SLOTS[slot(name)]);
    (index > 0 && FIELDS[index - 1].0 == name).then_some(index)
}

/// The index of the whole field, where `first` is the first with its name.
pub(super) fn whole(first: usize, value: &[u8]) -> Option<usize> {
    let name = FIELDS[first - 1].0;
    let same = FIELDS[first - 1..].iter().take_while(|field| field.0 == name);
    same.zip(first..).find_map(|(field, index)| (field.1 == value).then_some(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_and_every_name_is_found_and_no_other() {
        for (index, (field, value)) in (1..).zip(FIELDS) {
            let first = name(field).unwrap();
            assert_eq!(FIELDS[first - 1].0, field);
            assert!(first == 1 || FIELDS[first - 2].0 != field, "the first with its name");
            assert_eq!(whole(first, value), Some(index));
            assert_eq!(whole(first, b"no such value"), None);
            let mut longer = field.to_vec();
            longer.push(b'x');
            assert_eq!(name(&longer), None);
            assert_eq!(name(&field.to_ascii_uppercase()), None);
        }
        assert_eq!(name(b""), None);
        assert_eq!(name(b"x-request-id"), None);
    }
}
