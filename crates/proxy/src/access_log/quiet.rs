//! What stays of an old file when it goes: the lines of those who wrote little.
//!
//! A client that sends many requests fills the log and so pushes out what others did, which is a way to hide. So of
//! the file that has to go a part is kept, shared fairly: as much for one VPC as for any other, and within a VPC first
//! for the clients with the fewest lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use memchr::memmem;

/// Clients told apart in one file; what is beyond counts as one, which is none of the quiet.
const MOST_CLIENTS: usize = 1 << 16;
/// Longer than any line the data plane writes.
const LONGEST_LINE: u64 = 1 << 20;

/// A VPC, and a client in it.
type Source = (Box<[u8]>, Box<[u8]>);

/// Appends to `to` the lines of `from` that are to stay, `most` bytes of them at most; how many bytes that is.
///
/// # Errors
/// Either cannot be read or written.
pub(super) fn keep(from: &Path, to: &mut impl Write, most: u64) -> io::Result<u64> {
    let mut written: HashMap<Source, u64> = HashMap::new();
    each_line(from, |line| {
        let source = source(line);
        if written.len() < MOST_CLIENTS || written.contains_key(&source) {
            *written.entry(source).or_default() += line.len() as u64;
        }
        Ok(())
    })?;
    let quiet = quiet(written, most);
    let mut to = BufWriter::new(to);
    let mut kept = 0;
    each_line(from, |line| {
        if quiet.contains(&source(line)) {
            kept += line.len() as u64;
            to.write_all(line)?;
        }
        Ok(())
    })?;
    to.flush()?;
    Ok(kept)
}

/// Bytes written of each client of a VPC.
type Clients = Vec<(u64, Box<[u8]>)>;

/// Those whose lines fit: of each VPC the clients with the fewest bytes, as long as its share lasts.
fn quiet(written: HashMap<Source, u64>, most: u64) -> std::collections::HashSet<Source> {
    let mut vpcs: HashMap<Box<[u8]>, Clients> = HashMap::new();
    for ((vpc, client), bytes) in written {
        vpcs.entry(vpc).or_default().push((bytes, client));
    }
    // What one VPC does not need is the others': the one with the fewest bytes comes first.
    let mut vpcs: Vec<_> = vpcs.into_iter().collect();
    vpcs.sort_by_key(|(_, clients)| clients.iter().map(|(bytes, _)| bytes).sum::<u64>());
    let (mut left, mut waiting) = (most, vpcs.len() as u64);
    let mut quiet = std::collections::HashSet::new();
    for (vpc, mut clients) in vpcs {
        let share = left / waiting.max(1);
        let mut used = 0;
        clients.sort();
        for (bytes, client) in clients {
            if used + bytes > share {
                break;
            }
            used += bytes;
            quiet.insert((vpc.clone(), client));
        }
        left -= used;
        waiting -= 1;
    }
    quiet
}

/// The line's end included. What is longer than a line can be is passed over.
fn each_line(path: &Path, mut act: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if io::Read::take(&mut file, LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            act(&line)?;
        }
    }
}

/// Quotes inside a value are escaped, so that no client can write another's name into a line.
fn source(line: &[u8]) -> Source {
    let value = |name: &[u8]| {
        let start = memmem::find(line, name)? + name.len();
        let length = memchr::memchr(b'"', line.get(start..)?)?;
        line.get(start..start + length)
    };
    let vpc = value(b"\"sourceVpcArn\":\"").unwrap_or_default();
    let address = value(b"\"sourceIpPort\":\"").unwrap_or_default();
    let ip = memchr::memrchr(b':', address).and_then(|end| address.get(..end)).unwrap_or_default();
    (vpc.into(), ip.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(vpc: &str, client: &str, number: usize) -> String {
        let agent = r#"\"sourceVpcArn\":\"quiet\""#;
        format!(
            "{{\"requestPath\":\"/{number}\",\"userAgent\":\"{agent}\",\"sourceVpcArn\":\"{vpc}\",\
             \"sourceIpPort\":\"{client}:{number}\"}}\n"
        )
    }

    #[test]
    fn of_a_file_that_goes_the_lines_of_quiet_vpcs_and_clients_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old");
        let mut text = line("quiet", "10.0.0.1", 1);
        for number in 0..1000 {
            text += &line("loud", "10.0.0.9", number);
        }
        for number in 0..3 {
            text += &line("loud", "10.0.0.8", number);
        }
        text += "half a line";
        std::fs::write(&path, text).unwrap();
        let mut kept = Vec::new();
        let bytes = keep(&path, &mut kept, 4096).unwrap();
        let expected: String = std::iter::once(line("quiet", "10.0.0.1", 1))
            .chain((0..3).map(|number| line("loud", "10.0.0.8", number)))
            .collect();
        assert_eq!(String::from_utf8(kept).unwrap(), expected);
        assert_eq!(bytes, expected.len() as u64);
    }
}
