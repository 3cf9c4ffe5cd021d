//! PEM, read strictly and written as RFC 7468 says.
//!
//! Text outside sections is skipped, as RFC 7468 section 5.2 asks and `openssl x509 -text` needs.
//! Inside a section nothing is guessed: what is wrong is named, without repeating a byte of it,
//! because it may be a key. Buffers are wiped for the same reason.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

/// The labels this crate knows (RFC 7468 section 4; the two older key forms are OpenSSL's).
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
pub(crate) const REQUEST: &str = "CERTIFICATE REQUEST";
/// The same, as Microsoft's and older tools write it.
pub(crate) const NEW_REQUEST: &str = "NEW CERTIFICATE REQUEST";
pub(crate) const CRL: &str = "X509 CRL";
pub(crate) const PKCS8: &str = "PRIVATE KEY";
pub(crate) const PUBLIC: &str = "PUBLIC KEY";
pub(crate) const PKCS8_ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
pub(crate) const PKCS1: &str = "RSA PRIVATE KEY";
pub(crate) const SEC1: &str = "EC PRIVATE KEY";
pub(crate) const EC_PARAMETERS: &str = "EC PARAMETERS";

/// What keeps a text from being PEM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemFault {
    #[error("no line begins with -----BEGIN")]
    NoSection,
    #[error("it is DER, not PEM: convert it first")]
    Der,
    #[error("a BEGIN or END line is malformed")]
    Boundary,
    #[error("the section {label} has no END line of its own")]
    Unended { label: String },
    #[error("the section {label} is empty")]
    EmptySection { label: String },
    #[error("the section {label} is not base64")]
    Base64 { label: String },
    #[error("the section {label} has header lines")]
    Headers { label: String },
    #[error("it has more than {limit} sections")]
    TooMany { limit: usize },
}

/// One section. `der` is empty when `encrypted`, which only the old `Proc-Type` header says.
pub(crate) struct Section {
    pub(crate) label: String,
    pub(crate) encrypted: bool,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Every section of `text`, in order; at least one.
pub(crate) fn sections(text: &[u8], limit: usize) -> Result<Vec<Section>, PemFault> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines = text.split(|&byte| byte == b'\n' || byte == b'\r').map(<[u8]>::trim_ascii);
    let mut sections = Vec::new();
    while let Some(line) = lines.next() {
        if !line.starts_with(b"-----BEGIN ") {
            continue;
        }
        if sections.len() == limit {
            return Err(PemFault::TooMany { limit });
        }
        let label = boundary(line, b"-----BEGIN ").ok_or(PemFault::Boundary)?;
        sections.push(section(label, &mut lines, text.len())?);
    }
    match (sections.is_empty(), text.first()) {
        (false, _) => Ok(sections),
        // A SEQUENCE, which is what every certificate and key is.
        (true, Some(0x30)) => Err(PemFault::Der),
        (true, _) => Err(PemFault::NoSection),
    }
}

/// The body up to `-----END label-----`.
fn section<'a>(
    label: String,
    lines: &mut impl Iterator<Item = &'a [u8]>,
    capacity: usize,
) -> Result<Section, PemFault> {
    // Reserved at once: growing would leave copies of a key behind.
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    let (mut headers, mut encrypted) = (false, false);
    loop {
        let line = lines.next().ok_or_else(|| PemFault::Unended { label: label.clone() })?;
        if line.starts_with(b"-----BEGIN ") {
            return Err(PemFault::Unended { label });
        }
        if line.starts_with(b"-----END ") {
            let ended = boundary(line, b"-----END ").ok_or(PemFault::Boundary)?;
            if ended != label {
                return Err(PemFault::Unended { label });
            }
            break;
        }
        // RFC 1421 headers: `:` is not in the base64 alphabet.
        if line.contains(&b':') {
            headers = true;
            encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else {
            body.extend_from_slice(line);
        }
    }
    if encrypted {
        return Ok(Section { label, encrypted, der: Zeroizing::default() });
    }
    if headers {
        return Err(PemFault::Headers { label });
    }
    if body.is_empty() {
        return Err(PemFault::EmptySection { label });
    }
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(body.len())]);
    match STANDARD.decode_slice(&*body, &mut der) {
        Ok(length) => der.truncate(length),
        Err(_) => return Err(PemFault::Base64 { label }),
    }
    Ok(Section { label, encrypted, der })
}

/// The label of a BEGIN or END line. Only capitals, digits and spaces, so that it can be shown.
fn boundary(line: &[u8], start: &[u8]) -> Option<String> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    let shown = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    let fits = (1..=64).contains(&label.len()) && label.iter().all(shown);
    fits.then(|| String::from_utf8_lossy(label).into_owned())
}

/// Appends one section: lines of 64, LF, no blank line, which is also what ACM's outputs look like.
pub(crate) fn write(out: &mut String, label: &str, der: &[u8]) {
    let body = Zeroizing::new(STANDARD.encode(der));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so every index is a character boundary.
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
}

/// How many bytes [`write()`] appends.
pub(crate) fn written_length(label: &str, der: &[u8]) -> usize {
    let body = der.len().div_ceil(3) * 4;
    body + body.div_ceil(64) + 2 * label.len() + "-----BEGIN -----\n-----END -----\n".len()
}

/// The certificates as PEM, one section after the other: what GetCertificate answers and `cafile`
/// options read. Empty for no certificates.
pub fn certificates_to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut out = String::new();
    for certificate in certificates {
        write(&mut out, CERTIFICATE, certificate);
    }
    out
}

/// The certificates of a text that [`certificates_to_pem`] wrote.
///
/// # Errors
/// Every [`PemFault`].
pub fn certificates_of_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    const MOST: usize = 16;
    let sections = sections(text, MOST)?;
    Ok(sections.into_iter().map(|section| CertificateDer::from(section.der.to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Result<Vec<(String, Vec<u8>)>, PemFault> {
        Ok(sections(text.as_bytes(), 3)?.into_iter().map(|s| (s.label, s.der.to_vec())).collect())
    }

    #[test]
    fn what_is_written_reads_back_and_its_length_is_foretold() {
        for length in [1, 2, 3, 47, 48, 49, 96, 1000] {
            let der: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let mut text = String::new();
            write(&mut text, CERTIFICATE, &der);
            assert_eq!(text.len(), written_length(CERTIFICATE, &der));
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(labels(&text).unwrap(), [(CERTIFICATE.to_string(), der)]);
        }
    }

    #[test]
    fn text_around_sections_and_any_line_end_are_accepted() {
        let expected = [("A".to_string(), vec![0; 3]), ("B".to_string(), vec![0; 3])];
        for text in [
            "-----BEGIN A-----\nAAAA\n-----END A-----\n-----BEGIN B-----\nAAAA\n-----END B-----\n",
            "-----BEGIN A-----\r\nAAAA\r\n-----END A-----\r\n-----BEGIN B-----\r\nAAAA\r\n-----END B-----",
            "-----BEGIN A-----\rAAAA\r-----END A-----\r-----BEGIN B-----\rAAAA\r-----END B-----\r",
            "\u{feff}-----BEGIN A-----\nAA\nAA\n-----END A-----\n\n-----BEGIN B-----\nAAAA\n-----END B-----",
            "Certificate: x\n  -----BEGIN A-----\n  AAAA  \n  -----END A-----\nfoo\n-----BEGIN B-----\nAAAA\n-----END B-----",
        ] {
            assert_eq!(labels(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let a = || "A".to_string();
        for (text, expected) in [
            ("", PemFault::NoSection),
            ("MIIB", PemFault::NoSection),
            ("0\u{1}", PemFault::Der),
            ("-----BEGIN A----\nAAAA\n-----END A-----", PemFault::Boundary),
            ("-----BEGIN a-----\nAAAA\n-----END a-----", PemFault::Boundary),
            ("-----BEGIN -----\nAAAA\n-----END -----", PemFault::Boundary),
            ("-----BEGIN A-----\nAAAA\n-----END A", PemFault::Boundary),
            ("-----BEGIN A-----\nAAAA", PemFault::Unended { label: a() }),
            ("-----BEGIN A-----\nAAAA\n-----END B-----", PemFault::Unended { label: a() }),
            ("-----BEGIN A-----\n-----BEGIN A-----\n-----END A-----", PemFault::Unended { label: a() }),
            ("-----BEGIN A-----\n\n-----END A-----", PemFault::EmptySection { label: a() }),
            ("-----BEGIN A-----\nAA*A\n-----END A-----", PemFault::Base64 { label: a() }),
            ("-----BEGIN A-----\nAAA\n-----END A-----", PemFault::Base64 { label: a() }),
            ("-----BEGIN A-----\nAA==\nAA==\n-----END A-----", PemFault::Base64 { label: a() }),
            ("-----BEGIN A-----\nX: y\n\nAAAA\n-----END A-----", PemFault::Headers { label: a() }),
        ] {
            assert_eq!(labels(text).unwrap_err(), expected, "{text:?}");
        }
        let four = "-----BEGIN A-----\nAAAA\n-----END A-----\n".repeat(4);
        assert_eq!(labels(&four).unwrap_err(), PemFault::TooMany { limit: 3 });
    }

    #[test]
    fn the_old_encryption_header_is_seen() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n\
                    AAAA\n-----END RSA PRIVATE KEY-----";
        let sections = sections(text.as_bytes(), 1).unwrap();
        assert!(sections[0].encrypted && sections[0].der.is_empty());
    }
}
