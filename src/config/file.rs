//! The text form: reading it strictly, and writing the effective configuration of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

use super::keys::{FileClient, KeyReader, check_members};
use super::{ClusterConfig, MAX_NODES, MIN_REQUEST_TIMEOUT_MS, MIN_SEGMENT_BYTES, MemberConfig};
use crate::registry::{self, Entry, PROTOCOLS};
use crate::text::counted;

/// How a member of the Python project's JSON files is written here.
const JSON_HINT: &str = "write it as TOML: `protocol = \"raft\"`, and for each node a section `[[member]]` with \
                         `id = 1` and `address = \"127.0.0.1:5001\"`; cluster.toml at the top of the repository shows \
                         everything that can be set";

/// The keys outside the protocols' sections.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<Spanned<String>>,
    cluster_id: Option<Spanned<u64>>,
    protocol: Option<Spanned<String>>,
    nodes: Option<Spanned<usize>>,
    host: Option<Spanned<String>>,
    base_port: Option<Spanned<u16>>,
    request_timeout_ms: Option<Spanned<u64>>,
    segment_bytes: Option<Spanned<u64>>,
    data_dir: Option<PathBuf>,
    log: Option<String>,
    #[serde(default)]
    faults_over_network: bool,
    #[serde(default)]
    member: Vec<FileMember>,
    #[serde(default)]
    client: Vec<FileClient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMember {
    id: Spanned<u64>,
    address: Spanned<String>,
    public_key: Option<Spanned<String>>,
    key_file: Option<Spanned<PathBuf>>,
}

/// Something wrong at a place in the text.
pub(super) struct Wrong {
    pub(super) at: Option<Range<usize>>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

pub(super) fn wrong<T>(value: &Spanned<T>, message: impl Into<String>) -> Wrong {
    Wrong { at: Some(value.span()), message: message.into(), hint: None }
}

impl From<toml::de::Error> for Wrong {
    fn from(error: toml::de::Error) -> Self {
        // What the parser takes for a misspelt `true` or `false` is most often a text without quotes.
        let unquoted = error.message().starts_with("invalid boolean");
        let message = if unquoted {
            "the value is neither a number, nor `true` or `false`, nor text in quotes"
        } else {
            error.message()
        };
        Self { at: error.span(), message: message.to_owned(), hint: None }
    }
}

impl ClusterConfig {
    /// Writes the configuration with nothing left to defaults, so that it means the same to every later version.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let quoted = |value: &str| toml::Value::String(value.to_owned()).to_string();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "name = {}", quoted(&self.name));
        let _ = writeln!(text, "cluster_id = {:#018x}", self.cluster_id);
        let _ = writeln!(text, "protocol = {}", quoted(self.protocol));
        let _ = writeln!(text, "request_timeout_ms = {}", self.request_timeout.as_millis());
        let _ = writeln!(text, "segment_bytes = {}", self.segment_bytes);
        if let Some(dir) = &self.data_dir {
            let _ = writeln!(text, "data_dir = {}", quoted(&dir.to_string_lossy()));
        }
        let _ = writeln!(text, "log = {}", quoted(&self.log));
        if self.faults_over_network {
            text.push_str("faults_over_network = true\n");
        }
        for member in &self.members {
            let _ = writeln!(text, "\n[[member]]\nid = {}\naddress = {}", member.id, quoted(&member.address));
            text.push_str(&super::keys::lines(member.public_key.as_ref(), member.key_file.as_deref()));
        }
        for client in &self.clients {
            let _ = writeln!(text, "\n[[client]]\nid = {}", client.id);
            text.push_str(&super::keys::lines(Some(&client.public_key), client.key_file.as_deref()));
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "\n[{}]\n{}", self.protocol, self.options);
        }
        text
    }
}

/// Reads a configuration, and where in the text its id stands if it names one.
pub(super) fn parse(
    text: &str,
    wanted: Option<&'static Entry>,
) -> Result<(ClusterConfig, Option<Range<usize>>), Wrong> {
    if text.trim_start().starts_with('{') {
        let message = "this is JSON; the configuration is TOML".to_owned();
        return Err(Wrong { at: Some(0..0), message, hint: Some(JSON_HINT.to_owned()) });
    }
    let mut document = DeTable::parse(text)?;
    let mut sections = take_sections(&mut document)?;
    let span = document.span();
    let rest = Spanned::new(span, DeValue::Table(document.into_inner()));
    let file = File::deserialize(ValueDeserializer::from(rest))?;

    let entry = match (wanted, &file.protocol) {
        (Some(entry), _) => entry,
        (None, Some(name)) => registry::named(name.get_ref()).map_err(|why| wrong(name, why))?,
        (None, None) => registry::default_protocol(),
    };
    let mut config = ClusterConfig::defaults(entry);
    if let Some(name) = &file.name {
        if !super::is_valid_name(name.get_ref()) {
            return Err(wrong(
                name,
                "a name has 1 to 64 letters, digits, `-`, `_` or `.`, a letter or digit first",
            ));
        }
        config.name.clone_from(name.get_ref());
    }
    let mut keys = KeyReader::new(entry);
    config.members = members(&file, entry, &mut keys)?;
    check_members(entry, &config.members).map_err(|message| Wrong { at: None, message, hint: None })?;
    config.clients = keys.clients(&file.client)?;
    if let Some(timeout) = &file.request_timeout_ms {
        if *timeout.get_ref() < MIN_REQUEST_TIMEOUT_MS {
            let message = format!("request_timeout_ms must be at least {MIN_REQUEST_TIMEOUT_MS}");
            return Err(wrong(timeout, message));
        }
        config.request_timeout = Duration::from_millis(*timeout.get_ref());
    }
    if let Some(bytes) = &file.segment_bytes {
        if *bytes.get_ref() < MIN_SEGMENT_BYTES {
            return Err(wrong(bytes, format!("segment_bytes must be at least {MIN_SEGMENT_BYTES}")));
        }
        config.segment_bytes = *bytes.get_ref();
    }
    config.data_dir = file.data_dir;
    config.log = file.log.unwrap_or(config.log);
    config.faults_over_network = file.faults_over_network;
    config.options.extend(sections.remove(entry.name).unwrap_or_default());
    let Some(id) = file.cluster_id else { return Ok((config, None)) };
    config.cluster_id = *id.get_ref();
    if config.cluster_id == 0 {
        return Err(wrong(&id, "cluster_id must not be 0"));
    }
    Ok((config, Some(id.span())))
}

/// Takes the protocols' own sections out of the document, each checked by its protocol.
fn take_sections(document: &mut Spanned<DeTable<'_>>) -> Result<BTreeMap<&'static str, toml::Table>, Wrong> {
    let mut sections = BTreeMap::new();
    for entry in PROTOCOLS {
        let Some(section) = document.get_mut().remove(entry.name) else { continue };
        let table = toml::Table::deserialize(ValueDeserializer::from(section.clone()))?;
        (entry.check_options)(&table).map_err(|why| Wrong {
            at: Some(key_in(&section, &why)),
            message: format!("[{}]: {why}", entry.name),
            hint: None,
        })?;
        sections.insert(entry.name, table);
    }
    Ok(sections)
}

/// Where the key stands that a message about a section names; the section's head if it names none.
fn key_in(section: &Spanned<DeValue<'_>>, why: &str) -> Range<usize> {
    let named = |key: &&Spanned<DeString<'_>>| {
        why.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .any(|word| word == key.get_ref().as_ref())
    };
    let keys = section.get_ref().as_table().into_iter().flat_map(|table| table.keys());
    keys.filter(named).map(Spanned::span).next().unwrap_or_else(|| section.span())
}

fn members(file: &File, entry: &Entry, keys: &mut KeyReader) -> Result<Vec<MemberConfig>, Wrong> {
    if file.member.is_empty() {
        return local_members(file, entry);
    }
    let also = [
        file.nodes.as_ref().map(|nodes| wrong(nodes, "`nodes` and `[[member]]` exclude each other")),
        file.host.as_ref().map(|host| wrong(host, "`host` and `[[member]]` exclude each other")),
        file.base_port.as_ref().map(|port| wrong(port, "`base_port` and `[[member]]` exclude each other")),
    ];
    if let Some(wrong) = also.into_iter().flatten().next() {
        return Err(wrong);
    }
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let mut members = Vec::new();
    for FileMember { id, address, public_key, key_file } in &file.member {
        if *id.get_ref() == 0 {
            return Err(wrong(id, "ids start at 1"));
        }
        if !ids.insert(*id.get_ref()) {
            return Err(wrong(id, format!("id {} is there twice", id.get_ref())));
        }
        check_address(address.get_ref()).map_err(|why| wrong(address, why))?;
        if !addresses.insert(address.get_ref()) {
            return Err(wrong(address, format!("address {} is there twice", address.get_ref())));
        }
        let owner = format!("member {}", id.get_ref());
        let (public_key, key_file) = keys.key(&owner, public_key.as_ref(), key_file.as_ref())?;
        members.push(MemberConfig {
            id: *id.get_ref(),
            address: address.get_ref().clone(),
            public_key,
            key_file,
        });
    }
    if members.len() > MAX_NODES {
        return Err(Wrong {
            at: None,
            message: format!("{} members; at most {MAX_NODES} are allowed", members.len()),
            hint: None,
        });
    }
    members.sort_by_key(|member| member.id);
    Ok(members)
}

fn local_members(file: &File, entry: &Entry) -> Result<Vec<MemberConfig>, Wrong> {
    let count = file.nodes.as_ref().map_or(entry.default_nodes as usize, |nodes| *nodes.get_ref());
    if let Some(nodes) = &file.nodes
        && !(1..=MAX_NODES).contains(&count)
    {
        return Err(wrong(nodes, format!("nodes must be 1 to {MAX_NODES}")));
    }
    let base = file.base_port.as_ref().map_or(entry.default_port, |port| *port.get_ref());
    if let Some(port) = &file.base_port
        && (base == 0 || usize::from(base) + count - 1 > usize::from(u16::MAX))
    {
        return Err(wrong(
            port,
            format!(
                "there is no room for {} from {base} on: ports are 1 to 65535",
                counted(count as u64, "port", "ports")
            ),
        ));
    }
    let host = file.host.as_ref().map_or("127.0.0.1", |host| host.get_ref().as_str());
    let members = super::local_members(host, base, count);
    if let (Some(host), Some(first)) = (&file.host, members.first()) {
        check_address(&first.address).map_err(|why| wrong(host, why))?;
    }
    Ok(members)
}

/// Whether `address` is `host:port`, the host a name, an IPv4 address or an IPv6 address in brackets.
pub fn check_address(address: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("`{address}` is not an address: {why}"));
    let Some((host, port)) = address.rsplit_once(':') else {
        return refuse("the port is missing, as in 127.0.0.1:5001");
    };
    match port.parse::<u16>() {
        Ok(0) => return refuse("port 0 cannot be connected to"),
        Ok(_) => {}
        Err(_) => return refuse("the port must be a number from 1 to 65535"),
    }
    if let Some(inner) = host.strip_prefix('[') {
        let ip = inner.strip_suffix(']').and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok());
        return if ip.is_some() { Ok(()) } else { refuse("what stands in brackets is not an IPv6 address") };
    }
    if host.contains(':') {
        return refuse("an IPv6 address stands in brackets, as in [::1]:5001");
    }
    let numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric && host.parse::<std::net::Ipv4Addr>().is_err() {
        return refuse("the host is not an IPv4 address");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(allowed) {
        return refuse("the host is neither a name nor an IP address");
    }
    Ok(())
}
