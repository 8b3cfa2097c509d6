//! Ports: who holds one that we want, and free ones for clusters that come and go.

use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::{Error, Result, files};
use crate::config::MemberConfig;

/// Where [`free_ports`] looks: above the well-known ports, below the ranges from which Linux (32768) and macOS (49152)
/// take ports for outgoing connections, so that none of those can get in between.
const FREE_RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Makes sure that every member can listen at its address. Says who is in the way.
pub fn check_free(members: &[MemberConfig]) -> Result<()> {
    members.iter().try_for_each(check_member)
}

fn check_member(member: &MemberConfig) -> Result<()> {
    let (address, who) = (&member.address, format!("node {}", member.id));
    bind(&who, address).map(drop).map_err(|failure| match failure {
        Failure::InUse(error) => error.hint("stop that process, or choose other ports with --port BASE"),
        Failure::Closing(error) => error.hint("try again then, or choose other ports with --port BASE"),
        Failure::Elsewhere(error) => error.hint(format!(
            "on the host that has it, run: consensusctl node --id {} --config FILE",
            member.id
        )),
        Failure::Other(error) => error,
    })
}

/// Listens at `address`, for `who`; `option` chooses another one. Says who is in the way.
pub fn listen(who: &str, address: &str, option: &str) -> Result<TcpListener> {
    bind(who, address).map_err(|failure| match failure {
        Failure::InUse(error) => {
            error.hint(format!("stop that process, or choose another port with {option}"))
        }
        Failure::Closing(error) => {
            error.hint(format!("try again then, or choose another port with {option}"))
        }
        Failure::Elsewhere(error) => error.hint(format!("choose one with {option}")),
        Failure::Other(error) => error,
    })
}

/// Whether only this machine reaches an address.
pub fn is_loopback(address: &str) -> bool {
    address.to_socket_addrs().is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()))
}

/// Why nobody can listen at an address.
enum Failure {
    /// A process does already.
    InUse(Error),
    /// Nobody does, but the system keeps the port until the last packets of a closed connection must be gone.
    Closing(Error),
    /// It is no address of this machine.
    Elsewhere(Error),
    Other(Error),
}

fn bind(who: &str, address: &str) -> std::result::Result<TcpListener, Failure> {
    let resolved: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|error| Failure::Other(Error::io(format!("{who}: cannot resolve {address}"), &error)))?
        .collect();
    TcpListener::bind(&resolved[..]).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let port = resolved.first().map_or(0, SocketAddr::port);
            let holder = holder(port);
            if holder.is_none() && is_closing(port) {
                return Failure::Closing(Error::failed(format!(
                    "{who}: {address} is held by a connection that was closed, for a minute at most"
                )));
            }
            let holder = holder.unwrap_or_else(|| "a process that cannot be named".to_owned());
            Failure::InUse(Error::failed(format!("{who}: {address} is in use by {holder}")))
        }
        std::io::ErrorKind::AddrNotAvailable => {
            Failure::Elsewhere(Error::failed(format!("{who}: {address} is not an address of this machine")))
        }
        _ => Failure::Other(Error::io(format!("{who}: cannot listen on {address}"), &error)),
    })
}

/// The process that listens on a port of this machine, as `python3 (pid 123)`. `None` if it cannot be found out, as
/// for processes of other users.
#[cfg(target_os = "linux")]
pub fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = sockets(port)
        .into_iter()
        .filter(|(state, _)| state == LISTEN)
        .map(|(_, inode)| format!("socket:[{inode}]"))
        .collect();
    let pids =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let has_socket = |pid: &u32| {
        fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|fds| {
            fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
                .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
        })
    };
    let mut pids = pids;
    let pid = pids.find(has_socket)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (pid {pid})", name.trim()))
}

/// How the kernel writes the states of a socket that listens, and of one that waits for its last packets (RFC 9293,
/// section 3.3.2).
#[cfg(target_os = "linux")]
const LISTEN: &str = "0A";
#[cfg(target_os = "linux")]
const TIME_WAIT: &str = "06";

/// State and inode of every TCP socket of this machine with that local port.
#[cfg(target_os = "linux")]
fn sockets(port: u16) -> Vec<(String, String)> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|table| fs::read_to_string(table).ok());
    tables.flat_map(|table| sockets_of(&table, port)).collect()
}

/// Those of one table, whose columns `proc_pid_net(5)` names; a port is hexadecimal.
#[cfg(target_os = "linux")]
fn sockets_of(table: &str, port: u16) -> Vec<(String, String)> {
    let suffix = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&suffix))
        .map(|row| (row[3].to_owned(), row[9].to_owned()))
        .collect()
}

/// Whether only connections that were closed hold a port.
#[cfg(target_os = "linux")]
fn is_closing(port: u16) -> bool {
    let sockets = sockets(port);
    !sockets.is_empty() && sockets.iter().all(|(state, _)| state == TIME_WAIT)
}

/// Not told apart here from a process of another user.
#[cfg(not(target_os = "linux"))]
fn is_closing(_: u16) -> bool {
    false
}

/// The process that listens on a port of this machine. `None` if it cannot be found out.
#[cfg(not(target_os = "linux"))]
pub fn holder(port: u16) -> Option<String> {
    let output = std::process::Command::new("lsof")
        .args(["-nP", "-F", "pc", "-sTCP:LISTEN", &format!("-iTCP:{port}")])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |letter: char| text.lines().find_map(|line| line.strip_prefix(letter).map(str::to_owned));
    Some(format!("{} (pid {})", field('c')?, field('p')?))
}

/// A run of ports that no other [`free_ports`] of this machine gives out while this is held.
#[derive(Debug)]
pub struct FreePorts {
    first: u16,
    count: u16,
    _locks: Vec<File>,
}

impl FreePorts {
    /// The first port; the others follow.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// All of them.
    pub fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        self.first..self.first + self.count
    }
}

/// Finds `count` consecutive ports on which nothing listens, reserved for the caller by a lock file each. What is not
/// one of ours can still take a port before a node listens on it.
pub fn free_ports(count: u16) -> Result<FreePorts> {
    let dir = lock_dir()?;
    let slots = (FREE_RANGE.end - FREE_RANGE.start) / count.max(1);
    // Starting at a place of this process's own keeps parallel runs from walking over each other's locks.
    let start = (std::process::id() as u16).wrapping_mul(37);
    for i in 0..slots {
        let first = FREE_RANGE.start + start.wrapping_add(i) % slots * count;
        if let Some(locks) = (first..first + count).map(|port| reserve(&dir, port)).collect() {
            return Ok(FreePorts { first, count, _locks: locks });
        }
    }
    Err(Error::failed(format!("no {count} consecutive free ports from {} on", FREE_RANGE.start)))
}

/// Where the lock files lie. Nobody else can have put anything there.
fn lock_dir() -> Result<PathBuf> {
    let dir = files::runtime_dir()?.join("ports");
    files::create_private(&dir)?;
    Ok(dir)
}

fn reserve(dir: &std::path::Path, port: u16) -> Option<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(dir.join(port.to_string())).ok()?;
    file.try_lock().ok()?;
    TcpListener::bind(("127.0.0.1", port)).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_reported_with_the_process_that_holds_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = check_free(&[MemberConfig::new(2, address.clone())]).unwrap_err();
        assert!(error.message.starts_with(&format!("node 2: {address} is in use by ")), "{error}");
        if cfg!(target_os = "linux") {
            assert!(error.message.contains(&format!("(pid {})", std::process::id())), "{error}");
        }
        let error = listen("the gateway", &address, "--listen ADDRESS").unwrap_err();
        assert!(error.message.starts_with(&format!("the gateway: {address} is in use by ")), "{error}");
        assert!(error.hint.unwrap().contains("--listen ADDRESS"));
        drop(listener);
        check_free(&[MemberConfig::new(2, address)]).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_what_to_run_there() {
        // 192.0.2.0/24 is reserved for documentation (RFC 5737).
        let error = check_free(&[MemberConfig::new(3, "192.0.2.1:5001")]).unwrap_err();
        assert!(error.message.contains("is not an address of this machine"), "{error}");
        assert!(error.hint.unwrap().contains("node --id 3"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_port_of_a_closed_connection_is_free_soon_and_no_process_is_to_blame() {
        // Without SO_REUSEADDR, so that its closed connection keeps the port to itself.
        let server = tokio::net::TcpSocket::new_v4().unwrap();
        server.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = server.listen(1).unwrap();
        let address = server.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (accepted, _) = server.accept().await.unwrap();
        // Whoever closes first waits.
        drop((accepted, server));
        drop(client);
        let error = check_free(&[MemberConfig::new(2, address.to_string())]).unwrap_err();
        assert_eq!(
            error.message,
            format!("node 2: {address} is held by a connection that was closed, for a minute at most")
        );
        assert_eq!(error.hint.unwrap(), "try again then, or choose other ports with --port BASE");
    }

    #[test]
    fn two_runs_get_different_ports() {
        let (one, other) = (free_ports(5).unwrap(), free_ports(5).unwrap());
        assert!(one.ports().all(|port| other.ports().all(|taken| taken != port)));
        let (dir, port) = (lock_dir().unwrap(), one.first());
        assert!(reserve(&dir, port).is_none());
    }
}
