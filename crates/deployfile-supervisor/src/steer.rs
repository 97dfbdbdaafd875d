//! Which of two listening sockets at one TCP address a new connection goes to.
//!
//! Both sockets of an address are in one `SO_REUSEPORT` group (socket(7)), and a classic BPF program that is attached to
//! the group picks one of them for each new connection. So in a hand-over the old release keeps all traffic until the
//! new one was found to be healthy, while probes, which mark their packets, reach the new one only; and then all traffic
//! moves at once. The program is a few instructions without loops, and attaching it takes no privilege.
//!
//! Calling setsockopt(2) with a pointer in its argument is `unsafe`, and no crate that we have does it for this option.
#![allow(unsafe_code, reason = "rustix has no call for SO_ATTACH_REUSEPORT_CBPF")]

use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// The traffic class (IPv4: type of service) of probes that mean a new release in a hand-over. Its upper six bits, 43, are
/// of the pool that is for experimental and local use (RFC 2474, section 6); the lower two are not ours to set.
pub const PROBE_TRAFFIC_CLASS: u8 = 43 << 2;

/// One of the two sockets of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// The one that is opened first.
    #[default]
    First,
    /// The other one.
    Second,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Its place in the group: sockets join it in the order in which they listen.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

/// Where new connections go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// All of them,
    pub(crate) serving: Side,
    /// but for those with [`PROBE_TRAFFIC_CLASS`].
    pub(crate) probed: Side,
}

/// Sets the course of the group that `socket` is in, from now on.
pub(crate) fn steer(socket: impl AsFd, course: Course) -> io::Result<()> {
    let program = program(course);
    let length = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    let argument = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `size` bytes at `argument`, and `len` instructions at its `filter`, before the call
    // returns; both live until then, and it writes to neither.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const argument).cast(),
            size,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Loads the traffic class, compares it, and returns the index of a socket.
fn program(course: Course) -> Vec<libc::sock_filter> {
    // Offsets from here on are into the network header (`SKF_NET_OFF`, linux/filter.h).
    const NETWORK_HEADER: u32 = 0xfff0_0000;
    // Codes of linux/bpf_common.h.
    const LOAD_WORD: u16 = 0x20;
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const SHIFT_RIGHT: u16 = 0x74;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let is_equal = |k, jt, jf| libc::sock_filter { code: JUMP_IF_EQUAL, jt, jf, k };
    let answer = |side: Side| step(RETURN, u32::from(side == Side::Second));
    if course.serving == course.probed {
        return vec![answer(course.serving)];
    }
    let class = u32::from(PROBE_TRAFFIC_CLASS);
    vec![
        // A socket of IPv6 may get packets of IPv4 too, so each is asked for its version.
        step(LOAD_BYTE, NETWORK_HEADER),
        step(SHIFT_RIGHT, 4),
        is_equal(6, 0, 3),
        // IPv6: version, traffic class and flow label share a word (RFC 8200, section 3).
        step(LOAD_WORD, NETWORK_HEADER),
        step(AND, 0xfc << 20),
        is_equal(class << 20, 3, 4),
        // IPv4: the second byte (RFC 791, section 3.1).
        step(LOAD_BYTE, NETWORK_HEADER + 1),
        step(AND, 0xfc),
        is_equal(class, 0, 1),
        answer(course.probed),
        answer(course.serving),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen;
    use rustix::net::sockopt::{set_ip_tos, set_ipv6_tclass};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getsockname, socket_with};
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::OwnedFd;

    /// Which of the two sockets a connection reaches; `None` where another number than one does.
    fn reached(sockets: &[TcpListener], to: SocketAddr, is_probe: bool) -> Option<Side> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let client = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        match (is_probe, to.is_ipv4()) {
            (false, _) => {}
            (true, true) => set_ip_tos(&client, PROBE_TRAFFIC_CLASS).unwrap(),
            (true, false) => set_ipv6_tclass(&client, u32::from(PROBE_TRAFFIC_CLASS)).unwrap(),
        }
        connect(&client, &to).unwrap();
        let got: Vec<bool> = sockets.iter().map(|socket| socket.accept().is_ok()).collect();
        match got.as_slice() {
            [true, false] => Some(Side::First),
            [false, true] => Some(Side::Second),
            _ => None,
        }
    }

    fn open(address: &str) -> (Vec<TcpListener>, SocketAddr) {
        let fds: Vec<OwnedFd> = listen::open(address).unwrap();
        let bound = SocketAddr::try_from(getsockname(&fds[0]).unwrap()).unwrap();
        let sockets: Vec<TcpListener> = fds.into_iter().map(TcpListener::from).collect();
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        (sockets, bound)
    }

    #[test]
    fn connections_follow_the_course() {
        for (address, at) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let (sockets, bound) = open(address);
            let to = SocketAddr::new(at.parse().unwrap(), bound.port());
            assert_eq!(sockets.len(), 2, "{address}");
            let (first, second) = (Side::First, Side::Second);
            for (serving, probed) in [(first, first), (first, second), (second, second), (second, first)] {
                steer(&sockets[1], Course { serving, probed }).unwrap();
                for _ in 0..20 {
                    assert_eq!(reached(&sockets, to, false), Some(serving), "{address}");
                    assert_eq!(reached(&sockets, to, true), Some(probed), "{address}");
                }
            }
        }
    }

    /// The check above does catch what it is there to catch.
    #[test]
    fn without_a_course_the_kernel_chooses() {
        let (sockets, bound) = open("127.0.0.1:0");
        rustix::net::sockopt::set_socket_reuseport(&sockets[0], true).unwrap();
        let always = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 9 }];
        let argument = libc::sock_fprog { len: 1, filter: always.as_ptr().cast_mut() };
        // SAFETY: as in `steer`.
        let done = unsafe {
            libc::setsockopt(
                sockets[0].as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_REUSEPORT_CBPF,
                (&raw const argument).cast(),
                libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap(),
            )
        };
        assert_eq!(done, 0);
        let reached: Vec<_> = (0..60).map(|_| reached(&sockets, bound, false)).collect();
        assert!(reached.contains(&Some(Side::First)) && reached.contains(&Some(Side::Second)));
    }
}
