//! Which host names a certificate stands for (RFC 6125 section 6.4, as TLS clients apply it).

/// Whether `identifier`, a DNS name in a certificate, stands for `host`.
///
/// Letters compare without case. A wildcard is a whole left-most label, stands for exactly one label,
/// and needs two labels after it (`*.com` covers nothing). `host` may itself be such a wildcard, which
/// only the same wildcard covers. One final dot of `host` is ignored; an identifier may not have one.
pub fn covers(identifier: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !is_identifier(identifier) || !is_identifier(host) {
        return false;
    }
    if identifier.eq_ignore_ascii_case(host) {
        return true;
    }
    match (identifier.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => label != "*" && parent.eq_ignore_ascii_case(rest),
        _ => false,
    }
}

/// Whether `text` is a DNS name that a certificate may carry: up to 253 bytes, labels of 1 to 63
/// letters, digits, `-` and `_` that neither begin nor end with `-`, the last not all digits (that
/// would be an IP address), and perhaps a wildcard in front of at least two of them.
pub fn is_identifier(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let parent = text.strip_prefix("*.");
    let rest = parent.unwrap_or(text);
    text.len() <= 253
        && rest.split('.').all(label)
        && (parent.is_none() || rest.contains('.'))
        && rest.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_covered_as_rfc_6125_says() {
        for (identifier, host, expected) in [
            ("cart.example.com", "cart.example.com", true),
            ("Cart.Example.COM", "cART.example.com", true),
            ("cart.example.com", "cart.example.com.", true),
            ("cart.example.com", "cart.example.com..", false),
            ("cart.example.com.", "cart.example.com", false),
            ("cart.example.com", "example.com", false),
            ("cart.example.com", "a.cart.example.com", false),
            ("*.example.com", "cart.example.com", true),
            ("*.example.com", "CART.EXAMPLE.COM", true),
            ("*.example.com", "xn--bcher-kva.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "*.b.example.com", false),
            ("*.com", "example.com", false),
            ("*", "example.com", false),
            ("*.*.example.com", "a.b.example.com", false),
            ("a.*.example.com", "a.b.example.com", false),
            ("c*.example.com", "cart.example.com", false),
            ("*t.example.com", "cart.example.com", false),
            ("localhost", "localhost", true),
            ("my_host.example.com", "my_host.example.com", true),
            ("-a.example.com", "-a.example.com", false),
            ("a-.example.com", "a-.example.com", false),
            ("", "", false),
            ("10.0.0.1", "10.0.0.1", false),
            ("*.0.0.1", "10.0.0.1", false),
            ("a..b", "a..b", false),
            ("cart.example.com\0.evil.com", "cart.example.com", false),
        ] {
            assert_eq!(covers(identifier, host), expected, "{identifier} {host}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let label = "a".repeat(63);
        assert!(is_identifier(&format!("{label}.com")));
        assert!(!is_identifier(&format!("a{label}.com")));
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert!(is_identifier(&longest));
        assert!(!is_identifier(&format!("{longest}a")));
    }
}
