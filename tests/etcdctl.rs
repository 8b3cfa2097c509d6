//! `etcdctl` works against any node of a real cluster, and against a gateway to one: see `support/etcdctl.rs` for what it goes through.

#![expect(clippy::print_stdout, reason = "says why the test was skipped")]

#[path = "support/etcdctl.rs"]
mod etcdctl;
mod support;

use support::{Gateway, Lab, Mode};

#[test]
fn etcdctl_can_do_with_a_cluster_what_it_can_do_with_etcd() {
    if !etcdctl::is_installed() {
        return;
    }
    let lab = Lab::up(3, Mode::Processes);
    let endpoints: Vec<String> = lab.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    etcdctl::session(&endpoints);
}

#[test]
fn etcdctl_can_do_as_much_with_a_gateway_also_when_the_primary_lies() {
    if !etcdctl::is_installed() {
        return;
    }
    let lab = Lab::of("pbft", 4, Mode::InProcess);
    lab.start_with(&["--malicious", "1=equivocate"]).ok();
    etcdctl::session_through(&Gateway::start(&lab, &[]).address);
    let lab = Lab::up(3, Mode::InProcess);
    etcdctl::session_through(&Gateway::start(&lab, &[]).address);
}

#[test]
fn etcdctl_hears_that_there_is_no_leader_before_it_gives_up() {
    if !etcdctl::is_installed() {
        return;
    }
    let lab = Lab::up(3, Mode::Processes);
    lab.run(&["kill", "2,3"]).ok();
    let endpoint = format!("127.0.0.1:{}", lab.ports[0]);
    let mut put = std::process::Command::new("etcdctl");
    put.args(["--endpoints", &endpoint, "put", "a", "1"]).env("ETCDCTL_API", "3");
    let put = put.output().unwrap();
    let said = String::from_utf8_lossy(&put.stderr).into_owned();
    assert!(!put.status.success() && said.contains("etcdserver: no leader"), "{said}");
}
