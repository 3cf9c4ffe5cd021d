//! What this test program does before the test harness has a thread: become a host, enter a user
//! namespace where it is needed, or be one of the small programs the tests run inside hosts.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use trellis_net::{host, user_namespace};

use crate::lifetime;

/// This program, from wherever it runs.
pub(crate) const SELF: &str = "/proc/self/exe";

/// How long a program waits for what should not come.
const PATIENCE: Duration = Duration::from_millis(1500);

#[used]
#[unsafe(link_section = ".init_array")]
static ENTRY: extern "C" fn() = before_main;

extern "C" fn before_main() {
    host::init_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Whoever enters something comes from where they are, and whatever runs in a host is there.
    let is_tool = arguments.first().is_some_and(|first| first == "tool");
    let needs_none = is_tool && arguments.get(1).is_some_and(|tool| tool != "own-a-fabric");
    if !needs_none && let Err(error) = user_namespace::enter_if_needed() {
        eprintln!("{error}");
        std::process::exit(1);
    }
    if is_tool {
        let code = tool(&arguments[1..]).unwrap_or_else(|error| {
            println!("{error}");
            1
        });
        std::process::exit(code);
    }
}

fn tool(arguments: &[String]) -> std::io::Result<i32> {
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts.as_slice() {
        ["serve", port] => serve(port.parse().unwrap()),
        ["echo", port] => echo(port.parse().unwrap()),
        ["connect", to] => connect(to.parse().unwrap()),
        ["send-on-lines", to] => send_on_lines(to.parse().unwrap()),
        ["ping", to] => match to.parse().unwrap() {
            IpAddr::V4(to) => ping(to),
            IpAddr::V6(to) => ping_ipv6(to),
        },
        ["send", from, to, text] => send_from(from.parse().unwrap(), to.parse().unwrap(), text),
        ["claim", address] => claim(address.parse().unwrap()),
        ["set-mac", mac] => {
            let mac: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            rtnetlink(RTM_SETLINK, 0, nix::net::if_::if_nametoindex("eth0")?, &[(IFLA_ADDRESS, &mac)])
        }
        ["make-bridge-next-door", name] => {
            // Number 0 is the first namespace this one came to know: the one at the other end of its cable.
            let kind = [&[10, 0, 1, 0][..], b"bridge", &[0, 0]].concat();
            let attributes =
                [(IFLA_TARGET_NETNSID, &[0; 4][..]), (IFLA_IFNAME, name.as_bytes()), (IFLA_LINKINFO, &kind)];
            rtnetlink(RTM_NEWLINK, NLM_F_CREATE, 0, &attributes)
        }
        ["enter", pid, command @ ..] => {
            let base = host::base_environment().map(|(name, value)| (name.into(), value.into()));
            let given = std::env::var_os("WORD").map(|word| ("WORD".into(), word));
            let environment: Vec<_> = base.into_iter().chain(given).collect();
            Ok(host::enter(pid.parse().unwrap(), command, &environment).unwrap_or_else(|error| {
                println!("{error}");
                error.exit_code()
            }))
        }
        ["enter-network", pid, path, command @ ..] => {
            let command: Vec<OsString> = command.iter().map(OsString::from).collect();
            Ok(host::enter_network(pid.parse().unwrap(), path.as_ref(), &command).unwrap_or_else(|error| {
                println!("{error}");
                error.exit_code()
            }))
        }
        ["own-a-fabric", directory] => lifetime::own_a_fabric(directory.as_ref()),
        other => panic!("no tool {other:?}"),
    }
}

/// Answers each connection with who is connected to whom.
fn serve(port: u16) -> std::io::Result<i32> {
    // Takes IPv4 as well.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    loop {
        let (mut stream, peer) = listener.accept()?;
        let local = stream.local_addr()?;
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
        write!(
            stream,
            "{} answers {} at {}",
            name.trim(),
            peer.ip().to_canonical(),
            local.ip().to_canonical()
        )?;
        stream.shutdown(Shutdown::Write)?;
    }
}

/// Prints what the other side says, or fails.
fn connect(to: SocketAddr) -> std::io::Result<i32> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    println!("{text}");
    Ok(0)
}

/// Keeps one connection to a server that echoes, and prints what comes back for each line of its input.
fn send_on_lines(to: SocketAddr) -> std::io::Result<i32> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    println!("connected");
    for line in std::io::stdin().lines() {
        let line = line?;
        stream.write_all(line.as_bytes())?;
        let mut echo = vec![0; line.len()];
        stream.read_exact(&mut echo)?;
        println!("{}", String::from_utf8_lossy(&echo));
    }
    Ok(0)
}

/// Answers each connection with what it sends.
fn echo(port: u16) -> std::io::Result<i32> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        std::thread::spawn(move || {
            let mut reader = stream.try_clone()?;
            std::io::copy(&mut reader, &mut stream)
        });
    }
}

/// Succeeds when an ICMP echo is answered.
fn ping(to: Ipv4Addr) -> std::io::Result<i32> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    let mut packet = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    let checksum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
    packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    socket.send_to(&packet, &SocketAddr::from((to, 0)).into())?;
    // An echo reply (type 0) from the one asked, after the 20 bytes of an IPv4 header.
    wait_for(socket, |packet, _| {
        packet.len() >= 28
            && packet[12..16] == to.octets()
            && packet[20] == 0
            && packet[24..26] == [0x12, 0x34]
    })
}

/// Succeeds when something is received that `is_it`, given the bytes and who sent them.
fn wait_for(socket: Socket, is_it: impl Fn(&[u8], IpAddr) -> bool) -> std::io::Result<i32> {
    let socket = UdpSocket::from(socket);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            println!("no answer");
            return Ok(1);
        }
        socket.set_read_timeout(Some(left))?;
        let mut buffer = [0; 256];
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if is_it(&buffer[..length], from.ip()) {
            return Ok(0);
        }
    }
}

/// The same of IPv6, whose sockets give the message without a header and see to the checksum.
fn ping_ipv6(to: Ipv6Addr) -> std::io::Result<i32> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.send_to(&[128, 0, 0, 0, 0x12, 0x34, 0, 1], &SocketAddr::from((to, 0)).into())?;
    wait_for(socket, |packet, from| {
        packet.len() >= 8 && from == to && packet[0] == 129 && packet[4..6] == [0x12, 0x34]
    })
}

/// Sends a datagram whose source may be anybody's.
fn send_from(from: IpAddr, to: SocketAddr, text: &str) -> std::io::Result<i32> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    let (level, option) = match from {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
    };
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is owned by `socket`; pointer and length describe `on`, alive for the call.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    assert_eq!(outcome, 0, "a host's root may set it");
    socket.bind(&SocketAddr::new(from, 0).into())?;
    UdpSocket::from(socket).send_to(text.as_bytes(), to)?;
    Ok(0)
}

/// Says by ARP, as who knows how would, that `address` is here, and prints whether a packet for it comes.
fn claim(address: Ipv4Addr) -> std::io::Result<i32> {
    let mac: Vec<u8> = std::fs::read_to_string("/sys/class/net/eth0/address")?
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let everything = i32::from((libc::ETH_P_ALL as u16).to_be());
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(everything)))?;
    // SAFETY: all zeros is a valid address of this kind.
    let mut place: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    place.sll_family = libc::AF_PACKET as u16;
    place.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    place.sll_ifindex = nix::net::if_::if_nametoindex("eth0")? as i32;
    // SAFETY: the descriptor is owned by `socket`; pointer and length describe `place`, alive for the call.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            std::ptr::from_ref(&place).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    let to_all = [0xff; 6];
    let own = address.octets();
    let answer = [&to_all[..], &mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &mac, &own, &to_all, &own].concat();
    println!("claiming");
    let deadline = Instant::now() + PATIENCE;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut frame = [0; 2048];
    while Instant::now() < deadline {
        (&socket).write_all(&answer)?;
        let Ok(length) = (&socket).read(&mut frame) else { continue };
        let is_ipv4 = length >= 34 && frame[12..14] == [8, 0] && frame[6..12] != mac[..];
        if is_ipv4 && frame[30..34] == own {
            println!("received");
            return Ok(0);
        }
    }
    println!("nothing");
    Ok(1)
}

const RTM_NEWLINK: u16 = 16;
const RTM_SETLINK: u16 = 19;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_TARGET_NETNSID: u16 = 46;

/// Sends one request about a link and returns what the kernel says of it.
fn rtnetlink(kind: u16, flags: u16, link: u32, attributes: &[(u16, &[u8])]) -> std::io::Result<i32> {
    let mut body = [&[0; 4][..], &link.to_ne_bytes(), &[0; 8]].concat();
    for (kind, value) in attributes {
        body.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        body.extend_from_slice(&kind.to_ne_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    // NLM_F_REQUEST and NLM_F_ACK.
    message.extend_from_slice(&(flags | 5).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&body);
    let socket =
        Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    (&socket).write_all(&message)?;
    let mut answer = [0; 4096];
    let length = (&socket).read(&mut answer)?;
    assert!(length >= 20);
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(0),
        errno => Err(std::io::Error::from_raw_os_error(-errno)),
    }
}
