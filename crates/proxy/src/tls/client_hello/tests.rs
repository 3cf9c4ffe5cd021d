//! Hellos made here byte by byte, and those of real clients.

use super::*;

const NAME: &str = "www.example.com";

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// An entry of a list of names.
fn entry(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[kind][..], &(name.len() as u16).to_be_bytes(), name].concat()
}

fn server_names(entries: &[Vec<u8>]) -> Vec<u8> {
    let list = entries.concat();
    extension(0, &[&(list.len() as u16).to_be_bytes()[..], &list].concat())
}

fn named(name: &[u8]) -> Vec<u8> {
    server_names(&[entry(0, name)])
}

/// What goes before the extensions.
fn beginning(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.extend([3, 1, 2, 3]);
    body.extend([0, 4, 0x13, 0x01, 0xc0, 0x2f]);
    body.extend([1, 0]);
    body
}

fn body(extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    [&beginning(0x0303)[..], &(extensions.len() as u16).to_be_bytes(), &extensions].concat()
}

/// `body` as a message in records of at most `size` bytes.
fn in_records(body: &[u8], size: usize) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1, length[1], length[2], length[3]][..], body].concat();
    let header = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    message.chunks(size).flat_map(header).collect()
}

fn read(bytes: &[u8]) -> Result<Hello, Malformed> {
    Reader::default().read(bytes)
}

fn name(hello: Result<Hello, Malformed>) -> String {
    match hello {
        Ok(Hello::Name(name)) => name.as_str().to_owned(),
        other => panic!("{other:?} is no name"),
    }
}

#[test]
fn the_hellos_of_real_clients_are_read_wherever_they_are_cut() {
    // OpenSSL 3.0.19, Python 3.11.7 and curl 7.88, each with the name it was told; "-" is none.
    for line in include_str!("tests/hellos.txt").lines() {
        let [client, expected, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
        let mut reader = Reader::default();
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(Hello::NeedMore), "{client}");
            assert_eq!(reader.read(&bytes[..cut]), Ok(Hello::NeedMore), "{client}");
        }
        let hello = read(&bytes);
        assert_eq!(reader.read(&bytes), hello);
        match expected {
            "-" => assert_eq!(hello, Ok(Hello::NoName), "{client}"),
            expected => assert_eq!(name(hello), expected, "{client}"),
        }
    }
}

#[test]
fn a_hello_is_read_from_records_of_any_size_in_segments_of_any_size() {
    let hello = body(&[extension(21, &[0; 70]), named(NAME.as_bytes()), extension(16, b"\0\x03\x02h2")]);
    for size in (1..100).chain([1000]) {
        let mut bytes = in_records(&hello, size);
        bytes.extend(b"\x17\x03\x03\x00\x02hi");
        assert_eq!(name(read(&bytes)), NAME, "{size}");
        let whole = bytes.len() - 7;
        let mut reader = Reader::default();
        for cut in 0..whole {
            assert_eq!(reader.read(&bytes[..cut]), Ok(Hello::NeedMore), "{size} {cut}");
        }
        assert_eq!(name(reader.read(&bytes[..whole])), NAME);
    }
}

#[test]
fn versions_from_tls_1_0_on_are_read_and_extensions_may_be_absent() {
    for (version, expected) in [
        (0x0300, Err(Malformed::Version)),
        (0x0301, Ok(Hello::NoName)),
        (0x0302, Ok(Hello::NoName)),
        (0x0303, Ok(Hello::NoName)),
        (0x0304, Err(Malformed::Version)),
    ] {
        let mut bytes = in_records(&beginning(version), 1000);
        assert_eq!(read(&bytes), expected, "{version:#x}");
        bytes[9..11].copy_from_slice(&[3, 3]);
        bytes[1..3].copy_from_slice(&version.to_be_bytes());
        assert_eq!(read(&bytes), expected, "{version:#x} of the record");
    }
    assert_eq!(read(&in_records(&body(&[]), 1000)), Ok(Hello::NoName));
    assert_eq!(read(&in_records(&body(&[server_names(&[entry(7, b"x")])]), 1000)), Ok(Hello::NoName));
    let beside_another = server_names(&[entry(7, b"x"), entry(0, NAME.as_bytes())]);
    assert_eq!(name(read(&in_records(&body(&[beside_another]), 1000))), NAME);
}

#[test]
fn only_names_that_dns_could_have_are_taken_and_in_lower_case() {
    let long_label = "a".repeat(63);
    let longest = [&long_label[..]; 4].join(".")[..253].to_owned();
    for (text, expected) in [
        ("Shop.EXAMPLE.com", "shop.example.com"),
        ("localhost", "localhost"),
        ("_x.xn--bcher-kva.example", "_x.xn--bcher-kva.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        (&longest, &longest),
    ] {
        assert_eq!(name(read(&in_records(&body(&[named(text.as_bytes())]), 1000))), expected);
    }
    for text in ["192.0.2.7", "2001:db8::7"] {
        assert_eq!(read(&in_records(&body(&[named(text.as_bytes())]), 1000)), Ok(Hello::NoName), "{text}");
    }
    let too_long = format!("{longest}a");
    let label_too_long = format!("{long_label}a.example");
    for text in [
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "a b",
        "a/b",
        "a\0",
        "a\r\n",
        "-a.b",
        "a-.b",
        "ä.example",
        "*.example",
        "a.b:443",
        &too_long,
        &label_too_long,
    ] {
        let hello = body(&[named(text.as_bytes())]);
        assert_eq!(read(&in_records(&hello, 1000)), Err(Malformed::BadName), "{text:?}");
    }
    assert_eq!(read(&in_records(&body(&[named(b"\xff\xfe")]), 1000)), Err(Malformed::BadName));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let twice = [named(b"a.test"), named(b"b.test")];
    assert_eq!(read(&in_records(&body(&twice), 1000)), Err(Malformed::TwoNames));
    let two = server_names(&[entry(0, b"a.test"), entry(0, b"b.test")]);
    assert_eq!(read(&in_records(&body(&[two]), 1000)), Err(Malformed::TwoNames));
    let mut more = in_records(&body(&[named(b"a.test")]), 1000);
    more.push(20);
    let length = (more.len() - 5) as u16;
    more[3..5].copy_from_slice(&length.to_be_bytes());
    assert_eq!(read(&more), Err(Malformed::Trailing));
}

#[test]
fn every_length_that_lies_is_refused() {
    let whole = body(&[extension(21, &[0; 4]), named(b"a.test")]);
    let session_id = 2 + 32;
    let (suites, methods, all) = (session_id + 4, session_id + 10, session_id + 12);
    let (padding, name) = (all + 2, all + 2 + 8);
    let mut places = vec![
        (session_id, 33),
        (session_id, 255),
        (suites, 1),
        (suites + 1, 0),
        (suites + 1, 3),
        (methods, 0),
        (methods, 200),
    ];
    for place in [all + 1, padding + 3, name + 3, name + 5, name + 8] {
        places.extend([(place, whole[place] - 1), (place, whole[place] + 1), (place, 0xff)]);
    }
    for (place, value) in places {
        let mut lying = whole.clone();
        lying[place] = value;
        for size in [5, 1000] {
            let read = read(&in_records(&lying, size));
            assert_eq!(read, Err(Malformed::Lengths), "{place} {value}");
        }
    }
    for cut in 0..whole.len() {
        let read = read(&in_records(&whole[..cut], 1000));
        // What ends before the extensions is a hello without any.
        let expected = if cut == all { Ok(Hello::NoName) } else { Err(Malformed::Lengths) };
        assert_eq!(read, expected, "{cut}");
    }
    let empty = extension(0, &[]);
    assert_eq!(read(&in_records(&body(&[empty]), 1000)), Err(Malformed::Lengths));
    assert_eq!(read(&in_records(&body(&[server_names(&[])]), 1000)), Err(Malformed::Lengths));
}

#[test]
fn what_will_be_no_hello_is_refused_as_soon_as_it_shows() {
    for (bytes, expected) in [
        (&b"\x15"[..], Malformed::RecordType),
        (b"\x80\x2e\x01", Malformed::RecordType),
        (b"\x16\x02\x00\x00\x05", Malformed::Version),
        (b"\x16\x03\x01\x00\x00", Malformed::EmptyRecord),
        (b"\x16\x03\x01\x40\x01", Malformed::RecordTooLong),
        (b"\x16\x03\x01\x00\x01\x02", Malformed::OtherMessage),
        (b"\x16\x03\x01\x00\x04\x0b\x00\x00\x00", Malformed::OtherMessage),
        (b"\x16\x03\x01\x00\x04\x01\x00\x40\x01", Malformed::TooLong),
        (b"\x16\x03\x01\x00\x04\x01\x01\x00\x00", Malformed::TooLong),
        (b"\x16\x03\x01\x00\x02\x01\x00\x15", Malformed::RecordType),
        (b"\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01\x00\x00", Malformed::EmptyRecord),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", Malformed::Lengths),
    ] {
        assert_eq!(read(bytes), Err(expected), "{bytes:x?}");
    }
    // As long as may be, in records as long as may be.
    let extensions = [extension(21, &vec![0; MAX_HELLO - 46 - 2 - 4])];
    let hello = body(&extensions);
    assert_eq!(hello.len(), MAX_HELLO);
    assert_eq!(read(&in_records(&hello, MAX_FRAGMENT)), Ok(Hello::NoName));
}
