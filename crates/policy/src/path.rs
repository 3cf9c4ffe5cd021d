//! How else the path of a request may be read.

/// What a target may make of `path`: escapes that need not be are text, dot segments are gone, and so
/// are doubled slashes. `None` when that is the path itself.
pub fn plain_path(path: &str) -> Option<String> {
    let suspect = path.contains("//") || path.contains("/.") || path.contains('%') || path.contains('\\');
    if !suspect {
        return None;
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let escaped = rest
            .strip_prefix('%')
            .and_then(|digits| digits.get(..2))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .map(char::from);
        match escaped {
            // RFC 3986, 2.3: equivalent to the character. The slashes are not, but are taken for it.
            Some(character)
                if character.is_ascii_alphanumeric()
                    || matches!(character, '-' | '.' | '_' | '~' | '/' | '\\') =>
            {
                plain.push(if character == '\\' { '/' } else { character });
                rest = &rest[3..];
            }
            _ => {
                plain.push(if first == '\\' { '/' } else { first });
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in plain.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            // "/a/..;x=y/b": parameters of a segment that some servers take off.
            segment if segment.starts_with("..;") => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let is_open = plain.ends_with('/') || plain.ends_with("/.") || plain.ends_with("/..");
    let end = if is_open && !kept.is_empty() { "/" } else { "" };
    let plain = format!("/{}{end}", kept.join("/"));
    (plain != path).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_can_be_read_in_another_way_is_read_in_that_way_too() {
        for (path, plain) in [
            ("/", None),
            ("/a/b", None),
            ("/a/b/", None),
            ("/a%20b", None),
            ("/caf%C3%A9", None),
            ("/.well-known/x", None),
            ("/a/../b", Some("/b")),
            ("/a/./b", Some("/a/b")),
            ("/a//b", Some("/a/b")),
            ("//", Some("/")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a/..%2fb", Some("/b")),
            ("/a/..\\b", Some("/b")),
            ("/a/..%5cb", Some("/b")),
            ("/a/..;x=1/b", Some("/b")),
            ("/%61dmin", Some("/admin")),
            ("/a/..", Some("/")),
            ("/a/b/..", Some("/a/")),
            ("/../../b", Some("/b")),
            ("/100%", None),
        ] {
            assert_eq!(plain_path(path).as_deref(), plain, "{path}");
        }
    }
}
